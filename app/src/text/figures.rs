//! The figures' words: the table's heads, what chance explains, failures by kind. The server alone draws them.
use super::{Lang, fill};
use crate::model::fixed;
use wire::Verdict;

/// A text of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FigureWord {
    Detail,
    DetailPlain,
    Window,
    Version,
    Rate,
    Success,
    Service,
    WishedAchieved,
    Run,
    RunOf,
    Sidecars,
    Failed,
    Unattributed,
    RunLatency,
    Longest,
    Late,
    Shed,
    StartP99,
    Ms,
    NothingYet,
}

impl FigureWord {
    /// In a language.
    pub fn said(self, lang: Lang) -> &'static str {
        use FigureWord as W;
        let texts = match self {
            W::Detail => ["Against the desired split: χ² {chi}, p {p}.", "与设定值的偏差：χ² {chi}，p {p}。"],
            W::DetailPlain => [
                "Spread evenly over the ready pods ({plain}), rather than by the weights: {likely} % likely.",
                "若请求只是在就绪 Pod 间轮询均分（{plain}），出现此结果的可能性为 {likely}%。",
            ],
            W::Window => ["Last {n} s, latency in ms", "最近 {n} 秒，延迟单位为毫秒"],
            W::Version => ["Version", "版本"],
            W::Rate => ["req/s", "请求/秒"],
            W::Success => ["success", "成功率"],
            W::Service => ["service flaskapp", "服务 flaskapp"],
            W::WishedAchieved => ["Rate, target / actual", "速率，目标 / 实际"],
            W::Run => ["Run", "运行"],
            W::RunOf => ["{n} of {of}", "已发送 {n} / {of}"],
            W::Sidecars => ["Counted by the sidecars", "sidecar 的计数"],
            W::Failed => ["Failed", "失败"],
            W::Unattributed => ["by no version", "无版本归属"],
            W::RunLatency => ["p50 · p90 · p99 · p99.9", "p50 · p90 · p99 · p99.9"],
            W::Longest => ["Longest", "最长"],
            W::Late => ["Sent more than 5 ms late", "发送迟于 5 毫秒"],
            W::Shed => ["Left out of the schedule", "未能发送"],
            W::StartP99 => ["Sent late by, p99 of 10 s", "发送延迟，10 秒 p99"],
            W::Ms => ["{n} ms", "{n} 毫秒"],
            W::NothingYet => ["No request yet.", "尚无请求。"],
        };
        texts[usize::from(lang == Lang::Zh)]
    }

    /// With its `{placeholders}` replaced.
    pub fn fill(self, lang: Lang, args: &[(&str, &str)]) -> String {
        fill(self.said(lang), |name| args.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
            .unwrap_or_default()
    }
}

pub(super) fn pair(share: f64) -> String {
    format!("{}/{}", fixed(100.0 - share, 0), fixed(share, 0))
}

/// How far chance goes to explain the counts; empty where there is nothing to say.
pub fn detail(lang: Lang, v: &Verdict) -> String {
    let Some(test) = v.chi_square.filter(|_| v.requests > 0) else { return String::new() };
    let small = |share: f64, digits, least: f64| {
        if share < least { format!("< {least}") } else { fixed(share, digits).to_string() }
    };
    let chi = test.statistic.map_or_else(|| "∞".to_owned(), |s| fixed(s, 1).to_string());
    let against = FigureWord::Detail.fill(lang, &[("chi", &chi), ("p", &small(test.p_value, 2, 0.01))]);
    // Where both mean the same there is nothing to tell apart.
    if (v.desired - v.plain).abs() < 0.5 {
        return against;
    }
    let likely = small(100.0 * v.plain_balancing, 1, 0.1);
    format!("{against} {}", FigureWord::DetailPlain.fill(lang, &[("plain", &pair(v.plain)), ("likely", &likely)]))
}

/// A kind of failure in words; a status is its number.
pub fn failure(lang: Lang, kind: &str) -> String {
    let texts = match kind {
        "refused" => ["refused", "被拒绝"],
        "reset" => ["connection lost", "连接中断"],
        "timeout" => ["no answer in time", "超时"],
        "unreachable" => ["unreachable", "不可达"],
        "protocol" => ["not HTTP", "非 HTTP"],
        "local" => ["this machine is short of something", "本机资源不足"],
        other => return other.strip_prefix("status_").unwrap_or(other).to_owned(),
    };
    texts[usize::from(lang == Lang::Zh)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::VerdictKind;

    #[test]
    fn the_detail_says_how_far_chance_goes() {
        let verdict = |statistic, p_value, plain, likely| Verdict {
            kind: VerdictKind::InKeeping,
            version: "v2".into(),
            requests: 200,
            observed: 10.0,
            margin: 4.0,
            desired: 10.0,
            needed: 0,
            versus: 20.0,
            chi_square: Some(wire::ChiSquare { statistic, degrees: 1, p_value }),
            plain_balancing: likely,
            plain,
        };
        for (v, said) in [
            (
                verdict(Some(1.64), 0.2, 25.0, 0.000_1),
                "Against the desired split: χ² 1.6, p 0.20. Spread evenly over the ready pods (75/25), rather than by the weights: < 0.1 % likely.",
            ),
            (
                verdict(None, 0.0, 50.0, 0.999),
                "Against the desired split: χ² ∞, p < 0.01. Spread evenly over the ready pods (50/50), rather than by the weights: 99.9 % likely.",
            ),
            (verdict(Some(0.0), 1.0, 10.0, 0.5), "Against the desired split: χ² 0.0, p 1.00."),
        ] {
            assert_eq!(detail(Lang::En, &v), said);
            assert!(!detail(Lang::Zh, &v).is_empty());
        }
    }
}
