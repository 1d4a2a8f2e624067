//! Lines of the log.

messages! {
    deploy() = "deploy", "部署";
    client() = "client", "部署客户端";
    inject(workloads) = "inject sidecars: {workloads}", "注入 sidecar：{workloads}";
    uninject(workloads) = "remove sidecars: {workloads}", "移除 sidecar：{workloads}";
    create_route() = "create route 50/50", "创建路由 50/50";
    remove_route() = "remove route", "移除路由";
    load_off() = "load off", "停止负载";
    all_load_off() = "all load off", "停止全部负载";
    load(rate) = "load {rate}/s", "负载 {rate}/s";
    load_of(requests, rate) = "{requests} requests at {rate}/s", "{requests} 个请求，速率 {rate}/s";
    run_ended(requests, at) = "run of {requests} requests ended at {at}", "{requests} 个请求的运行在第 {at} 个后中断";
    scale(workload, replicas) = "scale {workload} to {replicas}", "将 {workload} 的副本数调整为 {replicas}";
    verify(pod) = "verify {pod}", "验证 {pod}";
    clean_up() = "clean up", "清理";
    take_over(holder) = "take over from {holder}", "从 {holder} 接管";
    the_route() = "the route", "路由";
}
