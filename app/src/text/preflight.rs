//! The preflight page's words: what each check looks at, and why it came out so. The server fills in English; the page rewords.
use super::{Lang, fill};
use wire::{Check, Verb};

/// A check's title and its reason in a language. Falls back to the server's English where an argument is missing.
pub fn check(lang: Lang, check: &Check) -> (String, String) {
    let place = usize::from(lang == Lang::Zh);
    let what =
        fill(titles(&check.id)[place], |name| check.args.get(name).cloned()).unwrap_or_else(|| check.what.clone());
    let reason = reasons(&check.code).and_then(|texts| fill(texts[place], |name| check.args.get(name).cloned()));
    (what, reason.unwrap_or_else(|| check.reason.clone()))
}

/// A text of the preflight page itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Word {
    Title,
    Back,
    Again,
    AllWell,
    Works,
    ToMend,
    Unsure,
    InOrder,
    Stops,
    Mend,
    Ok,
    Warn,
    Fail,
    Unknown,
    Note,
}

impl Word {
    /// In a language.
    pub fn said(self, lang: Lang) -> &'static str {
        let texts = match self {
            Word::Title => ["Preflight", "环境预检"],
            Word::Back => ["Back to the panel", "返回面板"],
            Word::Again => ["Check again", "重新检查"],
            Word::AllWell => ["Everything the demo needs is here", "演示所需一应俱全"],
            Word::Works => ["The demo works here, with some notes", "演示可以运行，但有几点须知"],
            Word::ToMend => ["To fix", "需要处理"],
            Word::Unsure => ["Cannot tell with current permissions", "现有权限无法判断"],
            Word::InOrder => ["In order", "正常"],
            Word::Stops => ["Off until then:", "在此之前停用："],
            Word::Mend => ["Fix (needs permission):", "由有权限的人执行以修复："],
            Word::Ok => ["in order", "正常"],
            Word::Warn => ["note", "须知"],
            Word::Fail => ["does not work", "不可用"],
            Word::Unknown => ["cannot tell", "无法判断"],
            Word::Note => {
                ["Nothing was changed: the trial pod is a dry run.", "未作任何更改：试验 Pod 只是演练（dry run）。"]
            }
        };
        texts[usize::from(lang == Lang::Zh)]
    }
}

/// What stands in the way, in figures.
pub fn troubles(lang: Lang, fail: usize) -> String {
    match (lang, fail) {
        (Lang::En, 1) => "One thing stands in the way".to_owned(),
        (Lang::En, n) => format!("{n} things stand in the way"),
        (Lang::Zh, n) => format!("有 {n} 项阻碍"),
    }
}

/// A verb's name on its button.
pub fn verb(lang: Lang, verb: Verb) -> &'static str {
    let texts = match verb {
        Verb::Deploy => ["Deploy", "部署"],
        Verb::Client => ["Deploy the client", "部署客户端"],
        Verb::Inject => ["Inject", "注入"],
        Verb::Route => ["Route", "路由"],
        Verb::Weights => ["Weights", "权重"],
        Verb::Adopt => ["Adopt", "采纳"],
        Verb::Revert => ["Revert", "还原"],
        Verb::Load => ["Load", "负载"],
        Verb::Verify => ["Verify", "验证"],
        Verb::Teardown => ["Clean up", "清理"],
        Verb::Takeover => ["Take over", "接管"],
    };
    texts[usize::from(lang == Lang::Zh)]
}

fn titles(id: &str) -> [&'static str; 2] {
    match id {
        "api" => ["API server", "API 服务器"],
        "namespace" => ["Namespace {ns}", "命名空间 {ns}"],
        "istio" => ["Istio's kinds", "Istio 的资源类型"],
        "control-plane" => ["Control plane", "控制平面"],
        "webhook" => ["Injection webhook", "注入 webhook"],
        "trial-pod" => ["Trial pod", "试验 Pod"],
        "quota" => ["Resource quota", "资源配额"],
        "limits" => ["Limit range", "LimitRange 限制"],
        "nodes" => ["Room on the nodes", "节点余量"],
        _ => ["Rights on {resource}", "对 {resource} 的权限"],
    }
}

/// The sentence of a code, in both languages.
fn reasons(code: &str) -> Option<[&'static str; 2]> {
    Some(match code {
        "ApiAnswers" => {
            ["It answers as {version} and knows the panel as {user}.", "以 {version} 应答，面板的身份是 {user}。"]
        }
        "ApiSilent" => ["It does not answer: {why}.", "没有应答：{why}。"],
        "ApiRefuses" => ["It does not accept the panel's credentials: {why}.", "不接受面板的凭据：{why}。"],
        "CannotTell" => ["Cannot tell: {why}.", "无法判断：{why}。"],

        "NamespaceOurs" => [
            "It is there, and the panel made it: clean-up removes it once it is empty.",
            "已存在，由面板创建：清空后会随清理一并移除。",
        ],
        "NamespaceOthers" => {
            ["It is there, and others made it: clean-up leaves it.", "已存在，由他人创建：清理时保留。"]
        }
        "NamespaceAbsent" => ["It is not there yet; deploying makes it.", "尚不存在；部署时会创建。"],
        "NamespaceCannotBeMade" => ["It is not there, and the panel may not make it.", "不存在，而面板无权创建。"],
        "NamespaceTerminating" => ["It is being removed and not gone yet: {held}.", "正在移除，尚未消失：{held}。"],

        "RightsGranted" => ["May {verbs}.", "可以 {verbs}。"],
        "RightsMissing" => ["May not {missing}.", "不可以 {missing}。"],

        "IstioServed" => [
            "networking.istio.io is served as {versions}; the panel writes {used}.",
            "networking.istio.io 提供 {versions}；面板写入 {used}。",
        ],
        "IstioMissing" => [
            "VirtualService and DestinationRule are not served here: there are no weights to set.",
            "此处不提供 VirtualService 与 DestinationRule：没有可设置的权重。",
        ],

        "IstiodReady" => [
            "{name} {version}, revision {revision}: {ready} of {wanted} ready in {where}.",
            "{name} {version}，修订 {revision}：{where} 中 {ready}/{wanted} 就绪。",
        ],
        "IstiodDown" => [
            "{name}, revision {revision}: none of {wanted} ready in {where}.",
            "{name}，修订 {revision}：{where} 中 {wanted} 个都未就绪。",
        ],
        "IstiodElsewhere" => [
            "None runs in istio-system, but one answers: the trial pod got its sidecar.",
            "istio-system 中没有运行，但有控制平面应答：试验 Pod 得到了 sidecar。",
        ],
        "IstiodMissing" => ["No istiod runs in istio-system.", "istio-system 中没有 istiod。"],

        "WebhookActs" => [
            "{name}, revision {revision}, acts on labelled pods of this namespace. While it does not answer, such pods are refused.",
            "{name}（修订 {revision}）对本命名空间中带标签的 Pod 生效。其无应答时，此类 Pod 会被拒绝。",
        ],
        "WebhookFailsOpen" => [
            "{name}, revision {revision}, acts on labelled pods of this namespace. While it does not answer, such pods start without a sidecar.",
            "{name}（修订 {revision}）对本命名空间中带标签的 Pod 生效。其无应答时，此类 Pod 会在没有 sidecar 的情况下启动。",
        ],
        "WebhookLeavesOut" => {
            ["{names} would not act on a labelled pod here: {why}.", "{names} 不会处理此处带标签的 Pod：{why}。"]
        }
        "WebhookNoRevision" => [
            "No webhook matches revision `{wanted}` of the namespace's label; there is {names}.",
            "没有 webhook 匹配命名空间标签中的修订 `{wanted}`；现有 {names}。",
        ],
        "WebhookNoBackend" => [
            "{name} has no one to ask: {service} has no ready endpoint.",
            "{name} 无处可问：{service} 没有就绪的端点。",
        ],
        "WebhookMissing" => [
            "There is none: pods start without a sidecar whatever they ask for.",
            "不存在：无论 Pod 要求什么，都不会有 sidecar。",
        ],
        "WebhookBuiltIn" => [
            "None is listed, but something injects: the trial pod got its sidecar.",
            "没有列出 webhook，但确有注入：试验 Pod 得到了 sidecar。",
        ],

        "TrialInjected" => [
            "A labelled pod, created with dryRun=All, came back with istio-proxy as {form}, image {image}.",
            "以 dryRun=All 创建的带标签 Pod 带回了 istio-proxy（{form}，镜像 {image}）。",
        ],
        "TrialPlain" => [
            "A labelled pod, created with dryRun=All, came back without istio-proxy: nothing injects.",
            "以 dryRun=All 创建的带标签 Pod 没有 istio-proxy：无人注入。",
        ],
        "TrialRefused" => [
            "A labelled pod, created with dryRun=All, was refused: {why}.",
            "以 dryRun=All 创建的带标签 Pod 被拒绝：{why}。",
        ],
        "TrialWaits" => ["It is tried as soon as the namespace is there.", "命名空间存在后即会试验。"],

        "QuotaNone" => ["None.", "没有。"],
        "QuotaEnough" => ["{name} leaves room for the demo: {left}.", "{name} 的余量足够：{left}。"],
        "QuotaTight" => [
            "{name} leaves room to deploy, not to roll out sidecars, when old and new pods run side by side: {left}.",
            "{name} 的余量够部署，但不够滚动注入（新旧 Pod 并存）：{left}。",
        ],
        "QuotaShort" => ["{name} leaves too little for the demo: {short}.", "{name} 的余量不足：{short}。"],

        "LimitsNone" => ["None.", "没有。"],
        "LimitsFit" => {
            ["{names} applies to every container, and the demo fits it.", "{names} 适用于每个容器，演示符合其要求。"]
        }
        "LimitsRefuse" => {
            ["{name} does not let the demo's containers in: {short}.", "{name} 不允许演示的容器：{short}。"]
        }

        "NodesRoom" => [
            "{nodes} take pods; {left} of requests are free, the demo asks for {asks}.",
            "{nodes} 个节点可调度；空闲请求 {left}，演示需要 {asks}。",
        ],
        "NodesFull" => [
            "No node has room for a pod of the demo: {left} are free at most, a pod asks for {asks}.",
            "没有节点能容纳演示的 Pod：最多空闲 {left}，每个 Pod 需要 {asks}。",
        ],
        "NodesNone" => ["No node takes pods: {why}.", "没有可调度的节点：{why}。"],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use wire::CheckStatus;

    #[test]
    fn a_check_is_worded_from_its_code_or_falls_back_to_the_servers_words() {
        let make = |code: &str, args: &[(&str, &str)]| Check {
            id: "namespace".into(),
            status: CheckStatus::Ok,
            what: "Namespace x".into(),
            reason: "server's own".into(),
            mend: String::new(),
            stops: Vec::new(),
            code: code.into(),
            args: args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
        };
        for (check, lang, what, reason) in [
            (
                make("NamespaceAbsent", &[("ns", "n")]),
                Lang::En,
                "Namespace n",
                "It is not there yet; deploying makes it.",
            ),
            (make("NamespaceAbsent", &[("ns", "n")]), Lang::Zh, "命名空间 n", "尚不存在；部署时会创建。"),
            (make("NamespaceTerminating", &[]), Lang::Zh, "Namespace x", "server's own"),
            (make("SomethingNew", &[("ns", "n")]), Lang::En, "Namespace n", "server's own"),
        ] {
            assert_eq!(super::check(lang, &check), (what.to_owned(), reason.to_owned()));
        }
    }
}
