//! What the server says of its own accord, in both languages: steps of an operation, lines of the log, the reasons that conditions name.
//! What Kubernetes itself says stays in its own words.
use std::fmt;

/// Words in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phrase {
    /// English, as it stands within a sentence.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Phrase {
    /// Several, one after the other.
    pub fn joined(all: impl IntoIterator<Item = Phrase>) -> Phrase {
        let (en, zh): (Vec<String>, Vec<String>) = all.into_iter().map(|phrase| (phrase.en, phrase.zh)).unzip();
        Phrase { en: en.join("; "), zh: zh.join("；") }
    }

    /// English as a sentence begins: with a capital, unless it begins with a name.
    pub fn sentence(&self) -> String {
        sentence(&self.en)
    }

    /// Chinese, or nothing where it is the same as the English: a name, a number, or words of the cluster.
    pub fn translation(&self) -> String {
        if self.zh == self.en { String::new() } else { self.zh.clone() }
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.en.is_empty()
    }
}

/// English.
impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

/// A name, a number, or words of somebody else: the same in both languages.
impl From<String> for Phrase {
    fn from(words: String) -> Phrase {
        Phrase { zh: words.clone(), en: words }
    }
}

impl From<&str> for Phrase {
    fn from(words: &str) -> Phrase {
        words.to_owned().into()
    }
}

impl From<&Phrase> for Phrase {
    fn from(phrase: &Phrase) -> Phrase {
        phrase.clone()
    }
}

/// A function for each phrase. A placeholder that is missing in one of the languages, or that nobody fills, does not compile.
macro_rules! phrases {
    ($($name:ident($($arg:ident),*) = $en:literal, $zh:literal;)+) => {
        $(
            #[doc = $en]
            pub fn $name($($arg: impl Into<Phrase>),*) -> Phrase {
                $(let $arg = $arg.into();)*
                Phrase { en: format!($en, $($arg = $arg.en),*), zh: format!($zh, $($arg = $arg.zh),*) }
            }
        )+
    };
}

phrases! {
    // steps
    waiting_for_turn() = "waiting for its turn", "等待执行";
    making_namespace() = "making the namespace", "正在创建命名空间";
    applying(object) = "applying {object}", "正在应用 {object}";
    scaling_up(object) = "scaling {object} to 1", "正在把 {object} 扩容到 1";
    deleting_namespace() = "deleting the namespace", "正在删除命名空间";
    deleting(object) = "deleting {object}", "正在删除 {object}";
    looking_around() = "seeing whether the namespace holds anything else", "正在查看命名空间中是否还有其他对象";
    waiting_for(what) = "waiting for {what}", "正在等待{what}";
    stopping() = "stopping", "正在停止";
    asking(pod) = "asking {pod}", "正在从 {pod} 内部发起请求";
    granted(rate, of) = "granted {rate} of {of} requests/s", "要求的每秒请求数获准 {rate}/{of}";
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
    // the log
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
    run_ended(requests, at) = "run of {requests} requests ended at {at}", "{requests} 个请求的运行止于 {at}";
    verify(pod) = "verify {pod}", "验证 {pod}";
    clean_up() = "clean up", "清理";
    take_over(holder) = "take over from {holder}", "从 {holder} 接管";
    the_route() = "the route", "路由";
    // why a workload is not ready
    not_there() = "it is not there", "不存在";
    scaled_to_zero() = "it is scaled to 0", "已缩容到 0";
    no_pod_yet() = "it has no pod yet", "尚无 Pod";
    pods_ready(ready, wanted) = "{ready} of {wanted} pods are ready", "就绪的 Pod 为 {ready}/{wanted}";
    of(who, why) = "{who}: {why}", "{who}：{why}";
    // why a pod has no sidecar
    older_than_label() = "it was made before the label", "它在加标签之前创建";
    webhook_did_not_add() = "the injection webhook did not add it", "注入 webhook 没有加入它";
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
}

/// English with a capital, where it begins with a word and not with a name.
pub fn sentence(clause: &str) -> String {
    let first = clause.split([' ', ':', ',']).next().unwrap_or_default();
    let word = !first.is_empty() && first.bytes().all(|b| b.is_ascii_lowercase()) && first != "flaskapp";
    if word { format!("{}{}", first[..1].to_ascii_uppercase(), &clause[1..]) } else { clause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_in_a_phrase_is_translated_with_it() {
        let waiting = waiting_for(Phrase::joined([
            ready_but("flaskapp-v1", "flaskapp-v1-7d9 (ContainerCreating)"),
            old_one_gone("service/flaskapp"),
        ]));
        assert_eq!(
            waiting.en,
            "waiting for flaskapp-v1 to be ready: flaskapp-v1-7d9 (ContainerCreating); the old service/flaskapp to be gone"
        );
        assert_eq!(
            waiting.zh,
            "正在等待 flaskapp-v1 就绪：flaskapp-v1-7d9 (ContainerCreating)；旧的 service/flaskapp 消失"
        );
        assert_eq!(
            (waiting.sentence().as_str(), done().translation().as_str()),
            (&*waiting.en.replacen('w', "W", 1), "完成")
        );
        assert_eq!(Phrase::from("80/20").translation(), "", "a name has no translation");
    }

    #[test]
    fn sentences_begin_with_a_capital_and_names_stay_as_they_are() {
        for (clause, said) in [
            ("the route", "The route"),
            ("flaskapp-v1 is ready", "flaskapp-v1 is ready"),
            ("v2 has 20 %", "v2 has 20 %"),
            ("80/20", "80/20"),
            ("", ""),
        ] {
            assert_eq!(sentence(clause), said);
        }
    }
}
