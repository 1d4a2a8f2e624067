//! Conditions in words: the server's sentence in English, the table's in Chinese. The server fills in both.
use super::Lang;
#[cfg(any(feature = "ssr", test))]
use super::{Phrase, fill};
use wire::Condition;
#[cfg(any(feature = "ssr", test))]
use wire::reasons;

/// The sentence for a condition.
pub fn condition(lang: Lang, condition: &Condition) -> String {
    super::either(lang, &condition.message, &condition.zh).to_owned()
}

/// The sentence of a condition's reason in Chinese; empty where the table has none, or an argument is missing.
#[cfg(any(feature = "ssr", test))]
pub fn in_chinese(reason: &str, args: &[(&str, Phrase)]) -> String {
    let arg = |name: &str| args.iter().find(|(n, _)| *n == name).map(|(_, phrase)| phrase.zh.clone());
    chinese(reason)
        .and_then(|template| fill(template, arg))
        .map(|text| text.trim_end_matches('：').to_owned())
        .unwrap_or_default()
}

#[cfg(any(feature = "ssr", test))]
fn chinese(reason: &str) -> Option<&'static str> {
    Some(match reason {
        reasons::REACHABLE => "集群可以访问",
        reasons::UNREACHABLE => "集群自 {since} 起没有响应：{why}",
        reasons::NOT_DEPLOYED => "尚未部署",
        reasons::DEPLOYING => "Pod 就绪 {ready}/{wanted}：{waiting}",
        reasons::DEPLOYED => "已就绪：{workloads}",
        reasons::DEGRADED => "{workload} 未就绪：{why}",
        reasons::NOT_VERIFIED => "尚未验证",
        reasons::VERIFIED => "{path} 在 {ms} 毫秒内应答",
        reasons::VERIFY_FAILED => "验证失败：{why}",
        reasons::NOT_INJECTED => "没有工作负载要求 sidecar",
        reasons::INJECTING => "sidecar 就绪 {ready}/{wanted}：{waiting}",
        reasons::INJECTED => "每个 Pod 的 istio-proxy 均已就绪",
        reasons::INJECTION_IGNORED => "{pod} 要求了 sidecar 却没有得到：{why}",
        reasons::NO_CLIENT => "没有客户端",
        reasons::CLIENT_SCALED_TO_ZERO => "有人把客户端缩容到 0",
        reasons::CLIENT_STARTING => "{pod} 正在启动：{why}",
        reasons::CLIENT_READY => "{pod} 已就绪",
        reasons::NO_ROUTE => "没有路由（VirtualService）",
        reasons::ROUTE_PRESENT => "DestinationRule 与 VirtualService 已存在",
        reasons::ROUTE_SAYS_MORE => "路由不止于权重：{what}",
        reasons::SUBSET_MISSING => "路由提到了子集 {subset}，但没有 DestinationRule 定义它",
        reasons::NO_MESH => "此集群不提供 Istio 的资源类型",
        reasons::ACKNOWLEDGED => "所有 sidecar 在 {ms} 毫秒内确认",
        reasons::PENDING => "{pod} 的 sidecar 尚未确认",
        reasons::CLIENT_HAS_NO_SIDECAR => "{pod} 没有 sidecar，因此权重不起作用：请求平均分配",
        reasons::VERSION_NOT_READY => "{version} 有权重，却没有就绪的 Pod",
        reasons::WEIGHTS_APPLY => "权重生效",
        reasons::LOAD_STOPPED => "负载已停止",
        reasons::LOAD_RUNNING => "客户端每秒 {rate} 个请求",
        reasons::LOAD_CAPPED => "要求每秒 {rate} 个请求，获准 {granted} 个：所有负载共用一个上限",
        reasons::GENERATOR_LIMITED => "本机达不到每秒 {target} 个请求：实际 {achieved}",
        reasons::TARGET_SATURATED => "要求每秒 {target} 个请求，但所有连接都在等待应答：实际发出 {achieved}",
        reasons::AGENT_UNREACHABLE => "无法连到客户端：{why}",
        reasons::ROUTE_OURS => "路由由面板管理",
        reasons::CHANGED_BY_OTHER => "{manager} 把路由改为 {theirs}；面板上次写入 {ours}",
        reasons::NOT_READY => "{what}；在修复并由预检确认之前停用：{off}",
        reasons::ROUTE_HONOURED => "网格未报告忽略路由的任何内容",
        reasons::ROUTE_IN_PART => "网格没有完全按路由的要求执行：{what}",
        reasons::ADMISSION_DENIES => {
            "{workload} 得不到 Pod，准入 webhook 不允许：{why}。请按其要求修改，或联系维护该 webhook 的人"
        }
        reasons::QUOTA_WANTS_FIGURES => {
            "{workload} 得不到 Pod，配额要求每个容器写明资源：{why}。请用 LimitRange 设置默认值"
        }
        reasons::OTHER_IMAGE_NOT_PULLED => {
            "{pod} 取不到 {container} 的镜像 {image}：{why}。请检查节点能否访问该镜像仓库"
        }
        reasons::ROUTE_UNSEEN => "无法判断是否有路由：{why}",
        reasons::CLEAN => "没有任何残留",
        reasons::CLEANING => "正在移除：{left}",
        reasons::LEFT_UNSEEN => "面板的对象已全部移除；命名空间保留，因为无法列出 {unseen}，不能判断其中是否还有",
        reasons::LEFT_OVER => "仍有残留：{left}（{whose}）",
        reasons::CREDENTIALS_REFUSED => "集群不再接受面板的凭据：{why}。请提供新的凭据；面板不会自行换用其他身份",
        reasons::SLOWED_DOWN => "集群要求放慢速度（429）；面板按其要求等待",
        reasons::PODS_RUN => "没有什么妨碍 Pod 运行",
        reasons::QUOTA_EXCEEDED => "{workload} 得不到 Pod，命名空间的配额已用尽：{why}。请提高配额，或移除占用者",
        reasons::WEBHOOK_REFUSES => {
            "{workload} 得不到 Pod，准入 webhook 无法调用：{why}。请检查该 webhook 的后端是否在运行"
        }
        reasons::POD_REFUSED => "{workload} 得不到 Pod：{why}",
        reasons::UNSCHEDULABLE => "没有节点接收 {pod}：{why}",
        reasons::IMAGE_NOT_PULLED => "{pod} 取不到镜像 {image}：{why}。请把镜像放到节点可取之处，或以 --image 启动面板",
        reasons::POD_STUCK => "{pod} 没有运行：{why}",
        reasons::POD_CRASHES => "{pod} 反复退出：{why}",
        reasons::PERMITTED => "面板拥有所需的全部权限",
        reasons::FORBIDDEN => "面板无权 {what}；在此之前停用：{off}",
        reasons::NAMESPACE_FREE => "命名空间没有在移除",
        reasons::NAMESPACE_TERMINATING => "命名空间 {ns} 正在移除，尚未消失：{held}",
        reasons::HELD_HERE => "没有其他面板操作此命名空间",
        reasons::HELD_BY_OTHER => "面板 {holder} 自 {since} 起操作此命名空间；本面板只读",
        reasons::HOLDER_UNKNOWN => "可能有另一面板同时操作此命名空间：无法取得 Lease：{why}",
        reasons::IN_USE => "演示正在使用中",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ConditionStatus;

    #[test]
    fn chinese_is_used_only_where_every_argument_is_there() {
        let make = |reason: &str, args: &[(&str, Phrase)]| Condition {
            kind: "WeightsApply".into(),
            status: ConditionStatus::False,
            reason: reason.into(),
            message: "server's own".into(),
            args: args.iter().map(|(k, v)| ((*k).to_owned(), v.en.clone())).collect(),
            zh: in_chinese(reason, args),
        };
        for (condition, zh) in [
            (make(reasons::VERSION_NOT_READY, &[("version", "v2".into())]), "v2 有权重，却没有就绪的 Pod"),
            (make(reasons::VERSION_NOT_READY, &[]), "server's own"),
            (make("SomethingNew", &[]), "server's own"),
        ] {
            assert_eq!(super::condition(Lang::Zh, &condition), zh);
            assert_eq!(super::condition(Lang::En, &condition), "server's own");
        }
    }
}
