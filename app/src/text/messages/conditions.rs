//! Conditions: the key is the reason. Clauses; the condition makes a sentence of them.
use wire::reasons;

messages! {
    // ClusterReachable
    reachable() [reasons::REACHABLE] = "the cluster answers", "集群可以访问";
    unreachable(since, why) [reasons::UNREACHABLE] = "the cluster does not answer since {since}: {why}", "集群自 {since} 起没有响应：{why}";
    credentials_refused(why) [reasons::CREDENTIALS_REFUSED] = "the cluster does not accept the panel's credentials any more: {why}. Give it new ones; it takes no others by itself", "集群不再接受面板的凭据：{why}。请提供新的凭据；面板不会自行换用其他身份";
    slowed_down() [reasons::SLOWED_DOWN] = "the cluster asks to slow down (429); the panel waits as long as it says", "集群要求放慢速度（429）；面板按其要求等待";
    // Deployed
    not_deployed() [reasons::NOT_DEPLOYED] = "the demo is not deployed", "演示尚未部署";
    deploying(ready, wanted) [reasons::DEPLOYING] = "{ready} of {wanted} pods are ready", "就绪的 Pod 为 {ready}/{wanted}";
    deploying_waiting(ready, wanted, waiting) [reasons::DEPLOYING] = "{ready} of {wanted} pods are ready; {waiting}", "就绪的 Pod 为 {ready}/{wanted}；{waiting}";
    deployed(workloads) [reasons::DEPLOYED] = "{workloads} are ready", "{workloads} 已就绪";
    degraded(workload, why) [reasons::DEGRADED] = "{workload} is not ready: {why}", "{workload} 未就绪：{why}";
    // Verified
    not_verified() [reasons::NOT_VERIFIED] = "no pod was asked yet", "尚未验证";
    verified(path, ms) [reasons::VERIFIED] = "a pod answered from inside with its PATH, {path}, in {ms} ms", "Pod 在 {ms} 毫秒内返回了 PATH：{path}";
    verify_failed(why) [reasons::VERIFY_FAILED] = "a pod did not answer from inside: {why}", "Pod 内部的请求没有得到应答：{why}";
    // Injected
    not_injected() [reasons::NOT_INJECTED] = "no workload asks for a sidecar", "没有工作负载要求注入 sidecar";
    injecting(ready, wanted) [reasons::INJECTING] = "{ready} of {wanted} pods have a ready sidecar", "sidecar 已就绪的 Pod 为 {ready}/{wanted}";
    injecting_waiting(ready, wanted, waiting) [reasons::INJECTING] = "{ready} of {wanted} pods have a ready sidecar; {waiting}", "sidecar 已就绪的 Pod 为 {ready}/{wanted}；{waiting}";
    injected() [reasons::INJECTED] = "every pod has a ready sidecar", "每个 Pod 的 sidecar 均已就绪";
    injection_ignored(pod, why) [reasons::INJECTION_IGNORED] = "{pod} asks for a sidecar and has none: {why}", "{pod} 要求注入 sidecar，但没有得到：{why}";
    injection_missed(pod, why) [reasons::INJECTION_IGNORED] = "{pod} has no sidecar: {why}", "{pod} 没有 sidecar：{why}";
    // ClientReady
    no_client() [reasons::NO_CLIENT] = "there is no load client", "没有负载客户端";
    client_scaled_to_zero() [reasons::CLIENT_SCALED_TO_ZERO] = "the load client is scaled to 0", "负载客户端已缩容到 0";
    client_starting(pod, why) [reasons::CLIENT_STARTING] = "{pod} is not ready: {why}", "{pod} 未就绪：{why}";
    client_without_pod() [reasons::CLIENT_STARTING] = "the load client has no pod yet", "负载客户端尚无 Pod";
    client_ready(pod) [reasons::CLIENT_READY] = "{pod} is ready", "{pod} 已就绪";
    // RoutePresent
    no_mesh() [reasons::NO_MESH] = "this cluster does not serve Istio's kinds", "此集群不提供 Istio 的资源类型";
    route_unseen(why) [reasons::ROUTE_UNSEEN] = "whether there is a route cannot be told: {why}", "无法判断是否有路由：{why}";
    no_route() [reasons::NO_ROUTE] = "there is no route", "没有路由";
    route_present() [reasons::ROUTE_PRESENT] = "DestinationRule and VirtualService are there", "DestinationRule 与 VirtualService 均已存在";
    route_says_more(what) [reasons::ROUTE_SAYS_MORE] = "the route says more than weights: {what}", "路由的内容不止权重：{what}";
    subset_missing(subset) [reasons::SUBSET_MISSING] = "the route names subset {subset}, which no DestinationRule defines", "路由引用了子集 {subset}，但没有 DestinationRule 定义它";
    // RouteHonoured
    route_honoured() [reasons::ROUTE_HONOURED] = "the mesh reports nothing it leaves out of the route", "网格未报告任何被忽略的路由配置";
    route_in_part(what) [reasons::ROUTE_IN_PART] = "the mesh does not do all that the route asks for: {what}", "网格没有完全按路由的要求执行：{what}";
    // RouteAcknowledged
    nothing_to_acknowledge() [reasons::NO_ROUTE] = "there is no route to acknowledge", "没有需要确认的路由";
    no_sidecar_to_acknowledge(pod) [reasons::CLIENT_HAS_NO_SIDECAR] = "{pod} has no sidecar to acknowledge it", "{pod} 没有可确认路由的 sidecar";
    no_client_to_acknowledge() [reasons::NO_CLIENT] = "there is no client to acknowledge the route", "没有可确认路由的客户端";
    port_without_routes(port, why) [reasons::PORT_NOT_HTTP] = "port {port} of the Service does not speak HTTP ({why}), so no sidecar takes up a route for it", "服务的端口 {port} 不是 HTTP（{why}），因此没有 sidecar 会为它应用路由";
    pending(pod) [reasons::PENDING] = "the sidecar of {pod} has not taken up the route yet", "{pod} 的 sidecar 尚未应用路由";
    acknowledged() [reasons::ACKNOWLEDGED] = "the client's sidecar has the route", "客户端的 sidecar 已应用路由";
    // WeightsApply
    spread_evenly() [reasons::NO_ROUTE] = "there is no route (VirtualService), so requests are spread evenly", "没有路由（VirtualService），因此请求平均分配";
    client_has_no_sidecar(pod) [reasons::CLIENT_HAS_NO_SIDECAR] = "{pod} has no sidecar, so the weights have no effect: its requests are spread evenly", "{pod} 没有 sidecar，因此权重不起作用：其请求平均分配";
    version_not_ready(version; weight) [reasons::VERSION_NOT_READY] = "{version} has {weight} % of the requests and no ready pod: those requests fail", "{version} 承担 {weight}% 的请求，却没有就绪的 Pod：这些请求会失败";
    port_not_http(port, why) [reasons::PORT_NOT_HTTP] = "port {port} of the Service does not speak HTTP ({why}), so the weights have no effect: connections are spread evenly", "服务的端口 {port} 不是 HTTP（{why}），因此权重不起作用：连接平均分配";
    weights_apply() [reasons::WEIGHTS_APPLY] = "the weights decide where requests go", "权重已生效";
    // LoadRunning
    load_stopped() [reasons::LOAD_STOPPED] = "no load", "负载已停止";
    load_without_client(; rate) [reasons::LOAD_STOPPED] = "there is no client; the load of {rate} requests/s goes on when it is back", "没有客户端；客户端恢复后，将继续每秒 {rate} 个请求的负载";
    load_running(rate) [reasons::LOAD_RUNNING] = "{rate} requests/s", "每秒 {rate} 个请求";
    load_capped(rate, granted) [reasons::LOAD_CAPPED] = "granted {granted} of {rate} requests/s: all load together has one cap", "要求每秒 {rate} 个请求，获准 {granted} 个：所有负载共用一个上限";
    generator_limited(target, achieved) [reasons::GENERATOR_LIMITED] = "{target} requests/s are asked for, this machine keeps {achieved}", "要求每秒 {target} 个请求，但本机只能达到 {achieved} 个";
    target_saturated(target, achieved) [reasons::TARGET_SATURATED] = "{target} requests/s are asked for, all connections wait for answers: {achieved} are sent", "要求每秒 {target} 个请求，但所有连接都在等待应答：实际发出 {achieved} 个";
    agent_unreachable(why) [reasons::AGENT_UNREACHABLE] = "the load client cannot be reached: {why}", "无法连接到负载客户端：{why}";
    // RouteOurs
    route_ours() [reasons::ROUTE_OURS] = "nobody but demo-panel has changed the route", "除 demo-panel 外无人改动路由";
    changed_by_other(manager, theirs) [reasons::CHANGED_BY_OTHER] = "the route is owned by {manager}: {theirs}", "路由现由 {manager} 管理：{theirs}";
    changed_from_ours(manager, theirs, ours) [reasons::CHANGED_BY_OTHER] = "the route is owned by {manager}: {theirs}; the panel's was {ours}", "路由现由 {manager} 管理：{theirs}；面板此前写入的是 {ours}";
    // Clean
    clean() [reasons::CLEAN] = "nothing of the demo is left", "演示的对象已全部移除";
    in_use() [reasons::IN_USE] = "the demo is deployed", "演示正在使用中";
    cleaning(left) [reasons::CLEANING] = "still there: {left}", "正在移除：{left}";
    cleaning_check() [reasons::CLEANING] = "making sure that nothing is left", "正在确认没有残留";
    left_over(left, whose) [reasons::LEFT_OVER] = "nothing of the panel's is left; the namespace stays for {left}, made by {whose}", "面板的对象已全部移除；命名空间保留，因为其中还有由 {whose} 创建的 {left}";
    left_over_and_unseen(left, whose; unseen) [reasons::LEFT_OVER] = "nothing of the panel's is left; the namespace stays for {left}, made by {whose}; it cannot be told whether it holds {unseen}", "面板的对象已全部移除；命名空间保留，因为其中还有由 {whose} 创建的 {left}；无法判断其中是否有 {unseen}";
    left_unseen(unseen) [reasons::LEFT_OVER] = "nothing of the panel's is left; the namespace stays, because it cannot be told whether it holds {unseen}: they cannot be listed", "面板的对象已全部移除；命名空间保留，因为无法列出 {unseen}，不能判断其中是否还有";
    // PodsRun
    pods_run() [reasons::PODS_RUN] = "nothing keeps the pods from running", "Pod 运行正常";
    quota_exceeded(workload, why) [reasons::QUOTA_EXCEEDED] = "{workload} gets no pod, the namespace's quota is used up: {why}. Raise the quota, or remove what uses it", "无法为 {workload} 创建 Pod，命名空间的配额已用尽：{why}。请提高配额，或移除占用配额的对象";
    quota_wants_figures(workload, why) [reasons::QUOTA_WANTS_FIGURES] = "{workload} gets no pod, a quota wants every container to say what it asks for: {why}. Give the namespace a LimitRange with defaults", "无法为 {workload} 创建 Pod，配额要求每个容器写明资源：{why}。请在命名空间中用 LimitRange 设置默认值";
    webhook_refuses(workload, why) [reasons::WEBHOOK_REFUSES] = "{workload} gets no pod, an admission webhook cannot be called: {why}. See whether the webhook's backend runs", "无法为 {workload} 创建 Pod，准入 webhook 无法调用：{why}。请检查该 webhook 的后端是否在运行";
    admission_denies(workload, why) [reasons::ADMISSION_DENIES] = "{workload} gets no pod, an admission webhook denies it: {why}. Change what it objects to, or ask who keeps that webhook", "无法为 {workload} 创建 Pod，准入 webhook 拒绝了它：{why}。请按其要求修改，或联系该 webhook 的维护者";
    pod_refused(workload, why) [reasons::POD_REFUSED] = "{workload} gets no pod: {why}", "无法为 {workload} 创建 Pod：{why}";
    unschedulable(pod, why) [reasons::UNSCHEDULABLE] = "no node takes {pod}: {why}", "没有节点可以运行 {pod}：{why}";
    image_not_pulled(pod, image, why) [reasons::IMAGE_NOT_PULLED] = "{pod} cannot get its image `{image}`: {why}. Put it where the nodes find it, or start the panel with --image", "{pod} 拉取不到镜像 `{image}`：{why}。请把镜像放到节点可以拉取的地方，或以 --image 启动面板";
    other_image_not_pulled(pod, container, image, why) [reasons::IMAGE_NOT_PULLED] = "{pod} cannot get the image `{image}` of {container}: {why}. See whether the nodes reach that registry", "{pod} 拉取不到 {container} 的镜像 `{image}`：{why}。请检查节点能否访问该镜像仓库";
    pod_crashes(pod, why) [reasons::POD_CRASHES] = "{pod} keeps crashing: {why}", "{pod} 反复崩溃：{why}";
    pod_stuck(pod, why) [reasons::POD_STUCK] = "{pod} does not run: {why}", "{pod} 没有运行：{why}";
    // Permitted
    permitted() [reasons::PERMITTED] = "the panel may do all it offers", "面板拥有所需的全部权限";
    forbidden(what, off) [reasons::FORBIDDEN] = "the panel may not {what}; off until it may: {off}", "面板无权 {what}；授权之前停用：{off}";
    not_ready(what, off) [reasons::NOT_READY] = "{what}; off until that is mended and seen by the preflight: {off}", "{what}；在修复并由预检确认之前停用：{off}";
    // NamespaceFree
    namespace_free() [reasons::NAMESPACE_FREE] = "the namespace is not being removed", "命名空间没有被移除";
    namespace_terminating(ns, held) [reasons::NAMESPACE_TERMINATING] = "namespace {ns} is being removed and not gone yet: {held}", "命名空间 {ns} 正在移除，尚未消失：{held}";
    // Held
    held_here() [reasons::HELD_HERE] = "no other panel acts on the namespace", "没有其他面板操作此命名空间";
    held_by_other(holder, since) [reasons::HELD_BY_OTHER] = "panel {holder} acts on this namespace since {since}; this one is read-only", "面板 {holder} 自 {since} 起操作此命名空间；本面板只读";
    holder_unknown(why) [reasons::HOLDER_UNKNOWN] = "another panel may act on this namespace at the same time: the Lease cannot be had: {why}", "可能有另一个面板同时操作此命名空间：无法取得 Lease：{why}";
    // SidecarsCount
    not_counted() [reasons::NOT_COUNTED] = "no sidecar has counted a request", "尚无 sidecar 统计到请求";
    all_versions() = "all", "全部";
}
