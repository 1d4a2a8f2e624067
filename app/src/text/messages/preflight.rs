//! Checks of the preflight: what each looks at, and why it came out so. The key of a reason is the check's code. Sentences.
use super::Message;
use wire::{Check, CheckStatus};

/// A check whose title and reason are worded.
pub fn check(id: &str, title: Message, status: CheckStatus, reason: Message) -> Check {
    let named = title.args.iter().chain(&reason.args);
    Check {
        id: id.to_owned(),
        status,
        args: named.map(|(name, value)| ((*name).to_owned(), value.en.clone())).collect(),
        code: reason.key.to_owned(),
        zh_what: title.translation(),
        what: title.en,
        zh: reason.translation(),
        reason: reason.en,
        mend: String::new(),
        stops: Vec::new(),
    }
}

messages! {
    // titles
    api_server() = "API server", "API 服务器";
    namespace(ns) = "Namespace {ns}", "命名空间 {ns}";
    istio_kinds() = "Istio's kinds", "Istio 的资源类型";
    control_plane() = "Control plane", "控制平面";
    injection_webhook() = "Injection webhook", "注入 webhook";
    trial_pod() = "Trial pod", "试验 Pod";
    service_port() = "Port of the Service", "服务的端口";
    resource_quota() = "Resource quota", "资源配额";
    limit_range() = "Limit range", "资源限制（LimitRange）";
    node_room() = "Room on the nodes", "节点余量";
    rights_on(resource) = "Rights on {resource}", "对 {resource} 的权限";

    api_answers(version, user) ["ApiAnswers"] = "It answers as {version} and knows the panel as {user}.", "以 {version} 应答，面板的身份是 {user}。";
    api_silent(why) ["ApiSilent"] = "It does not answer: {why}.", "没有应答：{why}。";
    api_refuses(why) ["ApiRefuses"] = "It does not accept the panel's credentials: {why}.", "不接受面板的凭据：{why}。";
    cannot_tell(why) ["CannotTell"] = "Cannot tell: {why}.", "无法判断：{why}。";
    no_access_reviews() = "the cluster does not answer access reviews", "集群没有应答权限查询";
    no_nodes_to_see() = "the cluster has no nodes to look at", "集群没有可查看的节点";
    more_pods_than(most) = "the cluster runs more than {most} pods", "集群运行的 Pod 超过 {most} 个";

    namespace_ours() ["NamespaceOurs"] = "It is there, and the panel made it: clean-up removes it once it is empty.", "已存在，由面板创建：清空后会随清理一并移除。";
    namespace_others() ["NamespaceOthers"] = "It is there, and others made it: clean-up leaves it.", "已存在，由他人创建：清理时保留。";
    namespace_absent() ["NamespaceAbsent"] = "It is not there yet; deploying makes it.", "尚不存在；部署时会创建。";
    namespace_cannot_be_made() ["NamespaceCannotBeMade"] = "It is not there, and the panel may not make it.", "不存在，而面板无权创建。";
    namespace_terminating(held) ["NamespaceTerminating"] = "It is being removed and not gone yet: {held}.", "正在移除，尚未消失：{held}。";

    rights_granted(verbs) ["RightsGranted"] = "May {verbs}.", "拥有的权限：{verbs}。";
    rights_missing(missing) ["RightsMissing"] = "May not {missing}.", "缺少的权限：{missing}。";

    istio_served(versions, used) ["IstioServed"] = "networking.istio.io is served as {versions}; the panel writes {used}.", "集群提供 networking.istio.io 的 {versions}；面板写入 {used}。";
    istio_missing() ["IstioMissing"] = "VirtualService and DestinationRule are not served here: there are no weights to set.", "此处不提供 VirtualService 与 DestinationRule：没有可设置的权重。";

    istiod_ready(name, version, revision, ready, wanted) ["IstiodReady"] = "{name} {version}, revision {revision}: {ready} of {wanted} ready in istio-system.", "{name} {version}，修订 {revision}：istio-system 中 {ready}/{wanted} 就绪。";
    istiod_down(name, revision, wanted) ["IstiodDown"] = "{name}, revision {revision}: none of {wanted} ready in istio-system.", "{name}，修订 {revision}：istio-system 中 {wanted} 个均未就绪。";
    istiod_elsewhere() ["IstiodElsewhere"] = "None runs in istio-system, but one answers: a trial pod got its sidecar.", "istio-system 中没有运行，但有控制平面应答：试验 Pod 得到了 sidecar。";
    istiod_missing() ["IstiodMissing"] = "No istiod runs in istio-system.", "istio-system 中没有 istiod。";

    webhook_acts(name, revision) ["WebhookActs"] = "{name}, revision {revision}, acts on labelled pods of this namespace. While it does not answer, such pods are refused.", "{name}（修订 {revision}）对本命名空间中带标签的 Pod 生效。若它没有应答，此类 Pod 会被拒绝。";
    webhook_fails_open(name, revision) ["WebhookFailsOpen"] = "{name}, revision {revision}, acts on labelled pods of this namespace. While it does not answer, such pods start without a sidecar.", "{name}（修订 {revision}）对本命名空间中带标签的 Pod 生效。若它没有应答，此类 Pod 会在没有 sidecar 的情况下启动。";
    webhook_leaves_out(names, why) ["WebhookLeavesOut"] = "{names} would not act on a labelled pod here: {why}.", "{names} 不会处理此处带标签的 Pod：{why}。";
    webhook_no_revision(wanted, names) ["WebhookNoRevision"] = "No webhook matches revision `{wanted}` of the namespace's label; there is {names}.", "没有 webhook 匹配命名空间标签中的修订 `{wanted}`；现有 {names}。";
    webhook_no_backend(name, service) ["WebhookNoBackend"] = "{name} has no one to ask: {service} has no ready endpoint.", "{name} 没有可用的后端：{service} 没有就绪的端点。";
    webhook_missing() ["WebhookMissing"] = "There is none: pods start without a sidecar whatever they ask for.", "不存在：无论 Pod 要求什么，都不会有 sidecar。";
    webhook_built_in() ["WebhookBuiltIn"] = "None is listed, but something injects: the trial pod got its sidecar.", "没有列出 webhook，但确有注入：试验 Pod 得到了 sidecar。";
    // why it leaves a pod out
    namespace_labelled(label) = "the namespace is labelled {label}", "命名空间带有标签 {label}";
    its_namespaces_have(label) = "its namespaces have {label}", "它要求命名空间{label}";
    its_pods_have(label) = "its pods have {label}", "它要求 Pod {label}";
    selectors_leave_out() = "its selectors leave it out", "其选择器不包括它";
    label_in(key, values) = "label {key} in ({values})", "的标签 {key} 为 ({values}) 之一";
    label_not_in(key, values) = "label {key} not in ({values})", "的标签 {key} 不为 ({values})";
    a_label(key) = "a label {key}", "带有标签 {key}";
    no_label(key) = "no label {key}", "没有标签 {key}";

    trial_injected(form, image) ["TrialInjected"] = "A labelled pod, created with dryRun=All, came back with istio-proxy as {form}, image {image}.", "以 dryRun=All 创建的带标签 Pod 带回了 istio-proxy（{form}，镜像 {image}）。";
    native_sidecar() = "an init container that stays (a native sidecar)", "常驻的初始化容器，即原生 sidecar";
    plain_sidecar() = "a container", "普通容器";
    trial_plain() ["TrialPlain"] = "A labelled pod, created with dryRun=All, came back without istio-proxy: nothing injects.", "以 dryRun=All 创建的带标签 Pod 没有 istio-proxy：没有任何注入。";
    trial_left_out() ["TrialLeftOut"] = "A labelled pod, created with dryRun=All, came back without istio-proxy; one in another namespace got it: this namespace is left out.", "以 dryRun=All 创建的带标签 Pod 没有 istio-proxy；另一命名空间中的则有：此命名空间被排除在外。";
    trial_refused(why) ["TrialRefused"] = "A labelled pod, created with dryRun=All, was refused: {why}.", "以 dryRun=All 创建的带标签 Pod 被拒绝：{why}。";
    trial_waits() ["TrialWaits"] = "It is tried as soon as the namespace is there.", "命名空间存在后即会试验。";

    port_not_http(port, service, why) ["PortNotHttp"] = "Port {port} of Service {service} does not speak HTTP to the mesh: {why}. Routes and weights have no effect on it; connections are spread evenly.", "服务 {service} 的端口 {port} 在网格中不按 HTTP 处理：{why}。路由与权重对它不起作用；连接平均分配。";

    quota_none() ["QuotaNone"] = "None.", "没有。";
    quota_enough(name, left) ["QuotaEnough"] = "{name} leaves room for the demo: {left}.", "{name} 的余量足够：{left}。";
    quota_tight(name, left) ["QuotaTight"] = "{name} leaves room to deploy, not to roll out sidecars, when old and new pods run side by side: {left}.", "{name} 的余量够部署，但不够滚动注入 sidecar（新旧 Pod 并存）：{left}。";
    quota_short(name, short) ["QuotaShort"] = "{name} leaves too little for the demo: {short}.", "{name} 的余量不足：{short}。";
    quota_lacks(resource, left, of, needs) = "{resource} has {left} of {of} left, it needs {needs}", "{resource} 剩余 {left}（共 {of}），需要 {needs}";
    quota_left(resource, left, of) = "{resource} {left} of {of}", "{resource} 剩余 {left}（共 {of}）";

    limits_none() ["LimitsNone"] = "None.", "没有。";
    limits_fit(names) ["LimitsFit"] = "{names} applies to every container, and the demo fits it.", "{names} 适用于每个容器，演示符合其要求。";
    limits_refuse(name, short) ["LimitsRefuse"] = "{name} does not let the demo's containers in: {short}.", "{name} 不允许演示的容器：{short}。";
    limit_exceeded(resource, max, asks) = "at most {max} {resource} a container, the sidecar asks for {asks}", "每个容器的 {resource} 最多 {max}，sidecar 要求 {asks}";
    limit_unset(resource) = "every container has to ask for {resource}, and it gives no default", "每个容器必须申请 {resource}，而它没有提供默认值";

    nodes_room(nodes, left, asks) ["NodesRoom"] = "{nodes} take pods; {left} of requests are free, the demo asks for {asks}.", "{nodes} 个节点可调度；空闲 {left}，演示需要 {asks}。";
    nodes_full(left, asks) ["NodesFull"] = "No node has room for a pod of the demo: {left} are free at most, a pod asks for {asks}.", "没有节点能容纳演示的 Pod：最多空闲 {left}，每个 Pod 需要 {asks}。";
    nodes_none(why) ["NodesNone"] = "No node takes pods: {why}.", "没有可调度的节点：{why}。";
    amount(cpu, memory) = "{cpu} cpu and {memory} memory", "CPU {cpu} 与内存 {memory}";
    no_nodes() = "there is none", "一个也没有";
    cordoned() = "it is cordoned", "已设为不可调度（cordon）";
    tainted(taint) = "its taint {taint} is not tolerated", "其污点 {taint} 不被容忍";
    node_not_ready() = "it is not ready", "未就绪";
}
