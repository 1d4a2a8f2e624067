//! Clauses that other messages name: why a workload, a pod, a route, a namespace or a call is as it is.

messages! {
    of(who, why) = "{who}: {why}", "{who}：{why}";
    field_is(field, value) = "its {field} is {value}", "其 {field} 为 {value}";
    and_more(count) = "{count} more", "另有 {count} 个";
    besides(what, more) = "{what}; besides, {more}", "{what}；此外，{more}";
    // why a workload is not ready
    not_there() = "it is not there", "不存在";
    scaled_to_zero() = "it is scaled to 0", "已缩容到 0";
    no_pod_yet() = "it has no pod yet", "尚无 Pod";
    pods_ready(ready, wanted) = "{ready} of {wanted} pods are ready", "就绪的 Pod 为 {ready}/{wanted}";
    // why a pod has no sidecar
    older_than_label() = "it was made before the label", "它在加标签之前创建";
    webhook_did_not_add() = "the injection webhook did not add it", "注入 webhook 没有加入它";
    no_webhook_then() = "it was made while no webhook acted; one does now, so inject again", "创建它时没有 webhook 生效；现在已有，请重新注入";
    webhook_passed_over(though) = "no webhook acted on it, though {though}", "没有 webhook 处理它，尽管 {though}";
    // what holds a namespace
    objects_being_removed() = "its objects are being removed", "其中的对象正在移除";
    does_not_say_why() = "it does not say why", "未说明原因";
    finalizer_waits(names) = "finalizer {names} waits", "finalizer {names} 尚未完成";
    // what a route says beside weights
    rules_above(count) = "{count} rule(s) above it are for matching requests only, and stay as they are", "其上有 {count} 条规则只针对匹配的请求，保持不变";
    rules_below(count) = "{count} rule(s) below it are never looked at", "其下有 {count} 条规则永远不会被用到";
    weights_for_some() = "its weights are for matching requests only", "其权重只针对匹配的请求";
    no_subsets() = "its destinations name no subsets, or have no weight at all", "其目标没有指明子集，或完全没有权重";
    injects_faults() = "it injects faults", "它注入故障";
    mirrors() = "it mirrors requests", "它镜像请求";
    redirects() = "it redirects", "它重定向";
    no_http_rule() = "it has no rule for HTTP, and weights of TCP or TLS are not the panel's", "它没有 HTTP 规则，而 TCP 或 TLS 的权重不由面板管理";
    no_rule_for_demo() = "no rule of it sends to flaskapp alone, so there are no weights to show", "没有规则只发往 flaskapp，因此没有可显示的权重";
    other_hosts(hosts) = "it is about {hosts} as well", "它也涉及 {hosts}";
    other_protocols() = "it routes TCP or TLS as well", "它也路由 TCP 或 TLS";
    newer_route(names) = "{names} is about the same host and newer, so Istio does not look at it", "{names} 针对同一主机且创建更晚，因此 Istio 不会使用它";
    gateways_only(gateways) = "it is for requests through {gateways} alone, and `mesh` is not among its gateways", "它只针对经过 {gateways} 的请求，其网关中没有 `mesh`";
    // why a call failed
    no_heartbeat() = "no answer to the last heartbeat", "上次心跳没有得到应答";
    no_answer_within(seconds) = "no answer within {seconds} s", "{seconds} 秒内没有应答";
    credentials_refused() = "the credentials are not accepted any more (401 Unauthorized)", "凭据不再被接受（401 Unauthorized）";
    not_listed() = "its objects cannot be listed", "无法列出其中的对象";
    agent_lost(why) = "the connection to the load client is lost: {why}", "与负载客户端的连接已断开：{why}";
    agent_refuses(status, why) = "the load client refuses ({status}): {why}", "负载客户端拒绝了请求（{status}）：{why}";
    agent_unreadable(why) = "the load client's answer cannot be read: {why}", "无法解析负载客户端的应答：{why}";
    prometheus_silent() = "it does not answer in time", "没有按时应答";
    may_not(what) = "the panel may not {what}", "面板无权{what}";
    // what was tried; in Chinese as it stands after 无法 or 无权, with a space where it begins with a name
    set_weights() = "set the weights", "设置权重";
    take_route_over() = "take the route over", "接管路由";
    take_lease_over() = "take over the Lease", "接管 Lease";
    run_command(pod) = "run a command in {pod}", "在 {pod} 中执行命令";
    apply(object) = "apply {object}", "应用 {object}";
    scale(object) = "scale {object}", "调整 {object} 的副本数";
    delete(object) = "delete {object}", "删除 {object}";
    read(object) = "read {object}", "读取 {object}";
    read_namespace() = "read the namespace", "读取命名空间";
    make_namespace() = "make the namespace", "创建命名空间";
    delete_namespace() = "delete the namespace", "删除命名空间";
    ask_for_istio() = "ask for Istio's versions", "查询 Istio 的版本";
    list_istiods() = "list deployments in istio-system", "列出 istio-system 中的 Deployment";
    list_webhooks() = "list mutating webhook configurations", "列出 MutatingWebhookConfiguration";
    list_quotas() = "list resource quotas", "列出 ResourceQuota";
    list_limits() = "list limit ranges", "列出 LimitRange";
    list_nodes() = "list nodes", "列出节点";
    list_all_pods() = "list pods of all namespaces", "列出所有命名空间的 Pod";
    create_pods() = "create pods", "创建 Pod";
    try_pod() = "try a pod", "试建 Pod";
}
