//! The words of the page about the last hour. The server alone draws it.
use super::Lang;

/// A text of that page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LastHourWord {
    Title,
    Back,
    Again,
    Nothing,
    NothingHint,
    Share,
    Rate,
    Requests,
    Success,
    Failed,
    Time,
    From,
}

impl LastHourWord {
    /// In a language.
    pub fn said(self, lang: Lang) -> &'static str {
        let texts = match self {
            LastHourWord::Title => ["Last hour", "最近一小时"],
            LastHourWord::Back => ["Back to the panel", "返回面板"],
            LastHourWord::Again => ["Read again", "重新读取"],
            LastHourWord::Nothing => ["No requests in the last hour", "最近一小时没有请求"],
            LastHourWord::NothingHint => [
                "Prometheus has neither istio_requests_total nor envoy_cluster_upstream_rq of this namespace's client. See whether it scrapes the sidecars.",
                "Prometheus 中没有此命名空间客户端的 istio_requests_total 或 envoy_cluster_upstream_rq。请检查它是否采集 sidecar。",
            ],
            LastHourWord::Share => ["Share by version", "各版本占比"],
            LastHourWord::Rate => ["Requests per second", "每秒请求数"],
            LastHourWord::Requests => ["Requests, about", "请求数（约）"],
            LastHourWord::Success => ["Success", "成功率"],
            LastHourWord::Failed => ["Failed per second", "每秒失败数"],
            LastHourWord::Time => ["Time (UTC)", "时间（UTC）"],
            LastHourWord::From => ["Rates over one minute, from", "一分钟平均速率，来源"],
        };
        texts[usize::from(lang == Lang::Zh)]
    }
}
