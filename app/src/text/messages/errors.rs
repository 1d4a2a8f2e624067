//! Errors: what failed, in one sentence, and what to do about it.
use super::Message;

/// What was named is not a namespace's name. As long as [`wire::Namespace`] shows it.
pub fn bad_namespace(named: &str) -> Message {
    let shown: String = named.chars().take(80).collect();
    not_a_namespace(shown.escape_debug().to_string())
}

messages! {
    // requests
    no_such_file() = "There is no such file.", "没有此文件。";
    read_with_get(verb) = "`{verb}` is read with GET.", "`{verb}` 应以 GET 读取。";
    changes_something(verb) = "`{verb}` changes something, so it is a POST.", "`{verb}` 会作出更改，因此应使用 POST。";
    takes_no_parameter() = "`stop-all` is about all namespaces and takes no parameter.", "`stop-all` 针对所有命名空间，不接受参数。";
    bad_body(why) = "{why}", "请求正文有误：{why}";
    body_unread(why) = "{why}", "无法读取请求正文：{why}";
    body_too_slow() = "The body did not come within 10 s.", "请求正文未在 10 秒内到达。";
    body_broken(why) = "The body broke off: {why}.", "请求正文中断：{why}。";
    body_too_large() = "The body is larger than 1 MiB.", "请求正文超过 1 MiB。";
    not_json() = "The body is not JSON.", "请求正文不是 JSON。";
    no_such_verb() = "There is no such verb.", "没有此操作。";
    nothing_here() = "There is nothing at this address.", "此地址没有内容。";
    other_method() = "This address takes another method.", "此地址要求使用其他 HTTP 方法。";
    only_namespace() = "The only parameter is `namespace`, once.", "唯一的参数是 `namespace`，且只能出现一次。";
    not_a_namespace(name) = "`{name}` is not a namespace's name: lower-case letters, digits and `-`, at most 63.", "`{name}` 不是有效的命名空间名称：只能使用小写字母、数字和 `-`，最多 63 个字符。";
    query_unreadable() = "The query of the address cannot be read.", "无法解析地址中的查询参数。";
    host_wrong(why) = "{why}", "Host 字段有误：{why}";
    not_this_host() = "This panel is not served under that name.", "本面板不以该主机名提供服务。";
    foreign_page() = "A page of another origin may not use the panel.", "其他来源的页面不得使用面板。";
    token_needed() = "A token is needed.", "需要令牌。";
    too_many_of_address() = "Too many connections come from your address.", "来自您的地址的连接过多。";
    too_many_of_user() = "Too many connections are open with these credentials.", "使用此凭据打开的连接过多。";
    too_many_streams() = "As many live streams are open as the panel can serve.", "实时数据流的数量已达到面板的上限。";
    panel_stops() = "The panel shuts down.", "面板正在关闭。";
    no_plane() = "The page is not connected to a control plane.", "页面没有连接到控制平面。";
    // calls of the cluster
    could_not(what, why) = "Could not {what}: {why}", "无法{what}：{why}";
    could_not_unanswered(what, why) = "Could not {what}: the cluster does not answer ({why})", "无法{what}：集群没有响应（{why}）";
    could_not_owned(what, managers) = "Could not {what}: {managers} changed the same fields.", "无法{what}：{managers} 改动了相同的字段。";
    could_not_stale(what) = "Could not {what}: it changed at the same time.", "无法{what}：对象同时被改动。";
    routes_unseen(why) = "The cluster does not let the panel look at its routes: {why}.", "集群不允许面板查看路由：{why}。";
    may_not_look(why) = "The cluster does not let the panel look: {why}.", "集群不允许面板查看：{why}。";
    cluster_silent(why) = "The cluster does not answer: {why}.", "集群没有响应：{why}。";
    not_ours(object) = "{object} exists and was not made by the panel, so it is not touched.", "{object} 已存在且并非由面板创建，因此面板不会改动它。";
    // verbs
    no_other_panel() = "No other panel acts on this namespace.", "没有其他面板操作此命名空间。";
    nothing_done() = "Nothing was done.", "未作任何更改。";
    no_pod_to_ask() = "There is no flaskapp pod to ask.", "没有可供验证的 flaskapp Pod。";
    pod_did_not_answer(pod, why) = "{pod} did not answer from inside: {why}.", "{pod} 内部的请求没有得到应答：{why}。";
    manifests_unwritten(why) = "The manifests cannot be written: {why}.", "无法生成清单：{why}。";
    weights_stale(split) = "{split} was not set: the cluster was slow, and a newer change waited behind it.", "未设置 {split}：集群响应较慢，其后已有更新的改动在等待。";
    nothing_to_split() = "There is no demo whose requests could be split.", "演示尚未部署，没有可分配的请求。";
    no_mesh() = "This cluster does not serve Istio's networking.istio.io.", "此集群不提供 Istio 的 networking.istio.io。";
    no_such_version(name) = "There is no version `{name}`.", "没有版本 `{name}`。";
    no_such_split(why) = "{why}", "权重有误：{why}";
    gateway_only() = "The VirtualService is for requests through a gateway alone: its weights say nothing about those inside the mesh.", "该 VirtualService 只针对经过网关的请求：其权重与网格内部的请求无关。";
    no_rule_for(host) = "The VirtualService has no rule that sends requests to {host} alone.", "该 VirtualService 中没有只把请求发往 {host} 的规则。";
    weights_owned(managers) = "The route is owned by {managers}.", "路由现由 {managers} 管理。";
    weights_owned_as(managers, theirs) = "The route is owned by {managers} ({theirs}).", "路由现由 {managers} 管理（{theirs}）。";
    weights_owned_from(managers, ours) = "The route is owned by {managers}; the panel's was {ours}.", "路由现由 {managers} 管理；面板此前写入的是 {ours}。";
    weights_owned_as_from(managers, theirs, ours) = "The route is owned by {managers} ({theirs}); the panel's was {ours}.", "路由现由 {managers} 管理（{theirs}）；面板此前写入的是 {ours}。";
    no_workloads() = "`workloads` is empty.", "`workloads` 为空。";
    nothing_to_scale(object) = "There is no {object} to scale.", "没有可调整副本数的 {object}。";
    nothing_to_inject(object) = "There is no {object} to inject.", "没有可注入 sidecar 的 {object}。";
    nothing_to_give_sidecar(object) = "There is no {object} to give a sidecar to.", "没有可加入 sidecar 的 {object}。";
    route_not_others() = "Nobody else owns the route.", "路由并未由他人管理。";
    no_weights() = "There are no weights to take over.", "没有可接管的权重。";
    too_long(seconds, step) = "It took longer than {seconds} s: {step}.", "耗时超过 {seconds} 秒：{step}。";
    held_elsewhere() = "Another panel acts on this namespace.", "另一个面板正在操作此命名空间。";
    held_by(holder, since) = "Panel {holder} acts on this namespace since {since}; this one is read-only.", "面板 {holder} 自 {since} 起操作此命名空间；本面板只读。";
    // load
    client_silent() = "The load client does not answer.", "负载客户端没有应答。";
    client_silent_why(why) = "The load client does not answer: {why}.", "负载客户端没有应答：{why}。";
    clients_silent(namespaces) = "The load client does not answer in {namespaces}.", "{namespaces} 中的负载客户端没有应答。";
    client_refuses(why) = "The load client refuses: {why}.", "负载客户端拒绝了请求：{why}。";
    no_ready_client() = "There is no ready client to make load with.", "没有就绪的客户端可产生负载。";
    cap_used_up(cap) = "The panel's cap of {cap} requests/s on all load together is used up.", "面板对所有负载共同的上限（每秒 {cap} 个请求）已用尽。";
    run_lost(requests, at) = "The run of {requests} requests ended at {at}: its client pod is gone.", "{requests} 个请求的运行在第 {at} 个后中断：客户端 Pod 已不存在。";
    // the last hour
    no_prometheus() = "No Prometheus was named, so only the last minute is known.", "未指定 Prometheus，因此只有最近一分钟的数据。";
    prometheus_unread(address, why) = "The Prometheus at {address} cannot be read: {why}.", "无法读取 {address} 处的 Prometheus：{why}。";

    // what to do about requests
    reload_page() = "Reload the page.", "请重新载入页面。";
    leave_out_post() = "Leave out -X POST.", "请去掉 -X POST。";
    use_post() = "Use curl -X POST.", "请使用 curl -X POST。";
    use_load() = "Use POST load with rate 0 for one of them.", "若只停止其中一个，请使用 POST load，速率为 0。";
    body_is_empty() = "The body is {{}}.", "正文应为 {{}}。";
    verbs_are_under() = "The verbs are under /api/demo/.", "各操作位于 /api/demo/ 之下。";
    see_api() = "See docs/api.md.", "请参阅 docs/api.md。";
    see_bodies() = "See the bodies in docs/api.md.", "请参阅 docs/api.md 中的请求正文。";
    for_example() = "For example ?namespace=istio-app.", "例如 ?namespace=istio-app。";
    correct_address() = "Correct the address, or leave `?namespace=` out.", "请更正地址，或去掉 `?namespace=`。";
    send_one_host() = "Send one Host field.", "请只发送一个 Host 字段。";
    use_its_address() = "Use its address, or start it with --public-url.", "请使用面板的地址，或以 --public-url 启动面板。";
    open_own_page() = "Open the panel's own page.", "请打开面板自己的页面。";
    sign_in() = "Open the panel's page to sign in, or send `Authorization: Bearer …`.", "请打开面板的页面登录，或发送 `Authorization: Bearer …`。";
    send_small() = "Send what docs/api.md shows: a few bytes of JSON.", "请按 docs/api.md 发送：只需几个字节的 JSON。";
    send_json() = "Send it with `Content-Type: application/json`.", "请以 `Content-Type: application/json` 发送。";
    close_pages() = "Close pages that are not needed, or wait a few seconds.", "请关闭不需要的页面，或稍候几秒。";
    connect_again() = "Connect again when it is back.", "请在面板恢复后重新连接。";
    try_again() = "Try again.", "请重试。";
    try_in_a_moment() = "Try again in a moment.", "请稍后重试。";
    report_defect() = "Report this: it is a defect.", "这是程序缺陷，请报告。";
    // what to do about the cluster
    new_credentials() = "The panel's credentials are not accepted any more: give it new ones.", "面板的凭据不再被接受：请提供新的凭据。";
    checks_refused() = "The cluster's own checks refused it; its words are above.", "集群自身的检查拒绝了它，原文见上。";
    look_then_try() = "It may have been done all the same: look, then try again.", "操作可能已经完成：请先查看，再重试。";
    nothing_lost() = "Nothing was lost. The panel goes on trying; see whether the cluster runs.", "没有丢失任何内容。面板会继续尝试；请检查集群是否在运行。";
    raise_quota() = "Raise the quota, or remove what uses it up.", "请提高配额，或移除占用配额的对象。";
    webhook_away() = "A webhook that the cluster asks before it accepts this does not answer: see whether what is behind it runs.", "集群在接受此对象前要询问的 webhook 没有应答：请检查其后端是否在运行。";
    give_right() = "Give the panel's user that right, or use another kubeconfig.", "请为面板的用户授予该权限，或换用其他 kubeconfig。";
    no_namespace() = "There is no such namespace: deploying makes it, where the panel may.", "没有此命名空间：若面板有权，部署时会创建。";
    deploy_or_install() = "Deploy the demo first, or see whether Istio's kinds are installed.", "请先部署演示，或检查是否已安装 Istio 的资源类型。";
    changed_meanwhile() = "Somebody else changed it at the same time: look, then try again.", "他人同时改动了它：请先查看，再重试。";
    slow_down() = "The cluster asks to slow down: try again in a few seconds.", "集群要求放慢速度：请几秒后重试。";
    cluster_failed() = "The cluster failed to answer; the panel goes on trying.", "集群未能应答；面板会继续尝试。";
    log_has_more() = "The log has more.", "程序日志中有更多信息。";
    undo_change() = "Undo that change (`kubectl get … --show-managed-fields -o yaml` shows it), then try again.", "请撤销该改动（可用 `kubectl get … --show-managed-fields -o yaml` 查看），再重试。";
    cluster_runs() = "See whether the cluster runs; the panel goes on trying.", "请检查集群是否在运行；面板会继续尝试。";
    // what to do about a verb
    remove_or_move() = "Remove it, or use another namespace.", "请移除它，或换一个命名空间。";
    nothing_to_take_over() = "There is nothing to take over.", "没有可接管的内容。";
    deploy_first() = "Deploy the demo first.", "请先部署演示。";
    see_pod() = "See the pod's log and state, then try again.", "请查看该 Pod 的日志与状态，再重试。";
    newest_counts() = "The newest one counts.", "以最新的改动为准。";
    install_istio() = "Install Istio, or use the embedded cluster.", "请安装 Istio，或使用内置集群。";
    versions_are(names) = "The versions are {names}.", "现有版本：{names}。";
    add_mesh() = "Add `mesh` to its gateways, or give the mesh a VirtualService of its own.", "请在其网关中加入 `mesh`，或为网格另建一个 VirtualService。";
    change_rules() = "Change its rules with kubectl, or remove it and set the weights again.", "请用 kubectl 修改其规则，或移除它并重新设置权重。";
    adopt_or_revert() = "Adopt what is there, or revert to what the panel wrote.", "请采纳现有权重，或还原为面板写入的权重。";
    name_workloads() = "Name workloads, or leave it out for all three.", "请写明工作负载，或省略此项以包括全部三个。";
    nothing_to_adopt() = "There is nothing to adopt or to revert.", "没有可采纳或还原的内容。";
    set_instead() = "Set the weights instead.", "请直接设置权重。";
    reasons_are_in_pods() = "The reasons are in the table of pods; `kubectl describe` has more. Remove the cause, then try again.", "原因见 Pod 表；`kubectl describe` 有更多信息。请消除原因后重试。";
    take_over_first() = "Take over first.", "请先接管。";
    take_over_if_meant() = "Take over first, if that is meant.", "如确有必要，请先接管。";
    // what to do about the load
    asked_again() = "It is asked again as soon as its pod is ready.", "其 Pod 就绪后会再次请求。";
    client_first() = "Deploy the client first, or wait until it is ready.", "请先部署客户端，或等待其就绪。";
    stop_another() = "Stop another load, or start the panel with a higher --max-total-rate.", "请停止其他负载，或以更高的 --max-total-rate 启动面板。";
    other_rate() = "Ask for another rate.", "请改用其他速率。";
    start_again() = "Start it again when the client is ready.", "请在客户端就绪后重新启动。";
    may_run_on() = "Its load may run on: try again, or delete its pod.", "其负载可能仍在运行：请重试，或删除其 Pod。";
    name_prometheus() = "Start the panel with --prometheus-url.", "请以 --prometheus-url 启动面板。";
    check_prometheus() = "See whether --prometheus-url is right. The panel itself does without it.", "请检查 --prometheus-url 是否正确。面板本身不依赖它。";
}
