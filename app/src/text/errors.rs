//! Errors in words: the server's in English; in Chinese the table's, with the server's own sentence under it.
use super::Lang;
use wire::{ApiError, Code};

/// What the page says about an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorText {
    /// What failed.
    pub title: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// The server's own sentence, where the title is not that.
    pub detail: Option<String>,
}

/// Words for `error`.
pub fn error(lang: Lang, error: &ApiError) -> ErrorText {
    match lang {
        Lang::En => ErrorText { title: error.message.clone(), hint: error.hint.clone(), detail: None },
        Lang::Zh => {
            let (title, hint) = chinese(error.code);
            ErrorText { title: title.to_owned(), hint: hint.to_owned(), detail: Some(error.message.clone()) }
        }
    }
}

fn chinese(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::BadRequest => ("请求内容有误", "请检查输入的值。"),
        Code::SignedOut => ("尚未登录", "请重新载入页面并登录。"),
        Code::ForeignOrigin => ("请求来自别处，已被拒绝", "请从面板自己的地址打开本页。"),
        Code::Forbidden => ("集群拒绝了当前用户", "请使用具有相应权限的用户。"),
        Code::NotFound => ("没有这个对象", "它可能已被移除；请重新部署。"),
        Code::MethodNotAllowed => ("不支持此 HTTP 方法", "请参阅 docs/api.md。"),
        Code::NotDeployed => ("演示尚未部署", "请先部署。"),
        Code::NoClient => ("没有可产生负载的客户端", "请部署客户端。"),
        Code::WeightOwned => ("权重由他人管理", "请采纳该修改，或将其还原。"),
        Code::HeldElsewhere => ("另一个面板正在操作此命名空间", "如确有必要，请先接管。"),
        Code::NotOurs => ("同名对象并非由面板创建，面板不会改动它", "请改名、移除它，或换一个命名空间。"),
        Code::TooLarge => ("请求过大", "正文最多 1 MiB。"),
        Code::NotJson => ("请求不是 JSON", "请以 application/json 发送。"),
        Code::Refused => ("集群的准入控制拒绝了该对象", "请见下方原文。"),
        Code::TooManyRequests => ("当前请求过多", "请稍候再试。"),
        Code::ClusterUnreachable => ("集群没有响应", "请检查集群或程序是否仍在运行；页面会自动重连。"),
        Code::Timeout => ("耗时过长", "请查看 Pod 的状态后重试。"),
        Code::Internal => ("面板自身出错", "请重试；程序日志中有更多信息。"),
    }
}
