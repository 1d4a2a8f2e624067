//! Steps of an operation, and what it waits for.

messages! {
    waiting_for_turn() = "waiting for its turn", "等待执行";
    making_namespace() = "making the namespace", "正在创建命名空间";
    applying(object) = "applying {object}", "正在应用 {object}";
    scaling_up(object) = "scaling {object} to 1", "正在把 {object} 扩容到 1";
    deleting_namespace() = "deleting the namespace", "正在删除命名空间";
    deleting(object) = "deleting {object}", "正在删除 {object}";
    looking_around() = "seeing whether the namespace holds anything else", "正在检查命名空间中是否还有其他对象";
    waiting_for(what) = "waiting for {what}", "正在等待{what}";
    stopping() = "stopping", "正在停止";
    asking(pod) = "asking {pod}", "正在从 {pod} 内部发起请求";
    granted(rate, of) = "granted {rate} of {of} requests/s", "要求每秒 {of} 个请求，获准 {rate} 个";
    taking_over_route(manager) = "taking the route over from {manager}", "正在从 {manager} 接管路由";
    done() = "done", "完成";
    // what is waited for
    old_one_gone(object) = "the old {object} to be gone", "旧的 {object} 消失";
    namespace_gone() = "the namespace to be gone", "命名空间消失";
    namespace_gone_held(why) = "the namespace to be gone: {why}", "命名空间消失：{why}";
    appear(object) = "{object} to appear", " {object} 出现";
    subsets_appear() = "its subsets to appear", "其子集出现";
    ready(workload) = "{workload} to be ready", " {workload} 就绪";
    ready_but(workload, why) = "{workload} to be ready: {why}", " {workload} 就绪：{why}";
    gone(objects) = "{objects} to be gone", " {objects} 消失";
}
