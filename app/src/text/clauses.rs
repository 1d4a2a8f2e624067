//! The server's English clauses in Chinese: steps of an operation, lines of the log, what conditions give as a reason.
//! What Kubernetes itself says stays in its own words. The server alone looks here.

/// English, then Chinese. `{name}` stands for a word without spaces, `{text}` for anything, which is translated in its turn.
const CLAUSES: &[(&str, &str)] = &[
    // steps
    ("waiting for its turn", "等待执行"),
    ("making the namespace", "正在创建命名空间"),
    ("applying {name}", "正在应用 {name}"),
    ("scaling {name} to 1", "正在把 {name} 扩容到 1"),
    ("deleting the namespace", "正在删除命名空间"),
    ("deleting {name}", "正在删除 {name}"),
    ("seeing whether the namespace holds anything else", "正在查看命名空间中是否还有其他对象"),
    ("waiting for {text}", "正在等待{text}"),
    ("stopping", "正在停止"),
    ("asking {name}", "正在从 {name} 内部发起请求"),
    ("granted {name} of {name} requests/s", "要求的每秒请求数获准 {name}/{name}"),
    ("taking the route over from {name}", "正在从 {name} 接管路由"),
    ("done", "完成"),
    ("the old {name} to be gone", "旧的 {name} 消失"),
    ("the namespace to be gone: {text}", "命名空间消失：{text}"),
    ("the namespace to be gone", "命名空间消失"),
    ("{name} to appear", "{name} 出现"),
    ("{name} to be ready: {text}", " {name} 就绪：{text}"),
    ("{name} to be ready", " {name} 就绪"),
    ("{text} to be gone", " {text} 消失"),
    // the log
    ("deploy", "部署"),
    ("client", "部署客户端"),
    ("inject sidecars: {text}", "注入 sidecar：{text}"),
    ("remove sidecars: {text}", "移除 sidecar：{text}"),
    ("create route 50/50", "创建路由 50/50"),
    ("remove route", "移除路由"),
    ("load off", "停止负载"),
    ("all load off", "停止全部负载"),
    ("load {name}", "负载 {name}"),
    ("{name} requests at {name}", "{name} 个请求，速率 {name}"),
    ("run of {name} requests ended at {name}", "{name} 个请求的运行止于 {name}"),
    ("verify {name}", "验证 {name}"),
    ("clean up", "清理"),
    ("take over from {text}", "从 {text} 接管"),
    ("the route", "路由"),
    // reasons
    ("it is not there", "不存在"),
    ("it is scaled to 0", "已缩容到 0"),
    ("it has no pod yet", "尚无 Pod"),
    ("{name} of {name} pods are ready", "就绪的 Pod 为 {name}/{name}"),
    ("it was made before the label", "它在加标签之前创建"),
    ("the injection webhook did not add it", "注入 webhook 没有加入它"),
    ("its objects are being removed", "其中的对象正在移除"),
    ("it does not say why", "未说明原因"),
    ("finalizer {text} waits", "finalizer {text} 尚未完成"),
    (
        "{name} rule(s) above it are for matching requests only, and stay as they are",
        "其上有 {name} 条规则只针对匹配的请求，保持不变",
    ),
    ("its weights are for matching requests only", "其权重只针对匹配的请求"),
    ("its destinations name no subsets, or have no weight at all", "其目标没有指明子集，或完全没有权重"),
    ("it injects faults", "它注入故障"),
    ("it mirrors requests", "它镜像请求"),
    ("it redirects", "它重定向"),
    (
        "it has no rule for HTTP, and weights of TCP or TLS are not the panel's",
        "它没有 HTTP 规则，而 TCP 或 TLS 的权重不由面板管理",
    ),
    (
        "no rule of it sends to flaskapp alone, so there are no weights to show",
        "没有规则只发往 flaskapp，因此没有可显示的权重",
    ),
    ("it is about {text} as well", "它也涉及 {text}"),
    ("it routes TCP or TLS as well", "它也路由 TCP 或 TLS"),
    ("{name}: {text}", "{name}：{text}"),
];

/// A clause in Chinese, or clauses joined by `; `; empty where the table knows none of it.
pub fn clause(english: &str) -> String {
    let parts: Vec<&str> = english.split("; ").collect();
    let known: Vec<Option<String>> = parts.iter().map(|part| one(part)).collect();
    if known.iter().all(Option::is_none) {
        return String::new();
    }
    known.into_iter().zip(parts).map(|(zh, en)| zh.unwrap_or_else(|| en.to_owned())).collect::<Vec<_>>().join("；")
}

fn one(english: &str) -> Option<String> {
    CLAUSES.iter().find_map(|(en, zh)| {
        let values = matched(en, english)?;
        // Placeholders stand in the same order in both languages.
        let mut values = values.into_iter().map(|(free, value)| {
            let zh = if free { clause(value) } else { String::new() };
            if zh.is_empty() { value.to_owned() } else { zh }
        });
        let mut text = String::new();
        let mut rest = *zh;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            text.push_str(&values.next()?);
            rest = after.split_once('}')?.1;
        }
        Some(text + rest)
    })
}

/// What the placeholders of `template` stand for in `text`, and whether it may be anything.
fn matched<'a>(template: &str, text: &'a str) -> Option<Vec<(bool, &'a str)>> {
    let (first, mut template) = template.split_once('{').unwrap_or((template, ""));
    let mut rest = text.strip_prefix(first)?;
    let mut values = Vec::new();
    while !template.is_empty() {
        let (name, after) = template.split_once('}')?;
        let (literal, next) = after.split_once('{').unwrap_or((after, ""));
        let end = match (literal, next) {
            ("", _) => rest.len(),
            (_, "") => rest.strip_suffix(literal)?.len(),
            _ => rest.find(literal)?,
        };
        let value = &rest[..end];
        if value.is_empty() || (name == "name" && value.contains(' ')) {
            return None;
        }
        values.push((name == "text", value));
        rest = &rest[end + literal.len()..];
        template = next;
    }
    rest.is_empty().then_some(values)
}

/// A clause with a capital, where it begins with a word and not with a name.
pub fn sentence(clause: &str) -> String {
    let first = clause.split([' ', ':', ',']).next().unwrap_or_default();
    let word = !first.is_empty() && first.bytes().all(|b| b.is_ascii_lowercase()) && first != "flaskapp";
    if word { format!("{}{}", first[..1].to_ascii_uppercase(), &clause[1..]) } else { clause.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_are_translated_with_what_they_name() {
        for (english, chinese) in [
            ("applying deployment/flaskapp-v1", "正在应用 deployment/flaskapp-v1"),
            (
                "waiting for flaskapp-v1 to be ready: flaskapp-v1-7d9 (ContainerCreating); the old service/flaskapp to be gone",
                "正在等待 flaskapp-v1 就绪：flaskapp-v1-7d9 (ContainerCreating)；旧的 service/flaskapp 消失",
            ),
            ("inject sidecars: flaskapp-v1, flaskapp-v2", "注入 sidecar：flaskapp-v1, flaskapp-v2"),
            ("verify flaskapp-v1-7d9", "验证 flaskapp-v1-7d9"),
            ("load 200/s", "负载 200/s"),
            ("run of 100,000 requests ended at 41,200", "100,000 个请求的运行止于 41,200"),
            ("0 of 1 pods are ready", "就绪的 Pod 为 0/1"),
            ("flaskapp-v2-x: it is not there", "flaskapp-v2-x：不存在"),
            ("it mirrors requests; something new", "它镜像请求；something new"),
            ("Post \"https://x\": dial tcp", ""),
            ("80/20", ""),
        ] {
            assert_eq!(clause(english), chinese, "{english}");
        }
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
