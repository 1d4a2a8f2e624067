//! The dashboards: their labels, their sentences, why a number is not known, and what is wrong with an address.
use super::{Message, errors};
use wire::{ApiError, BadQuery, Code};

/// What is wrong with the address of a dashboard, and what to do about it.
pub fn bad_query(bad: BadQuery) -> ApiError {
    let shown = |text: String| text.escape_debug().to_string();
    let (message, hint) = match bad {
        BadQuery::Parameter(name) => (no_parameter(shown(name)), parameters()),
        BadQuery::Twice(name) => (parameter_twice(shown(name)), leave_one_out()),
        BadQuery::View(view) => (no_view(shown(view)), choose_view()),
        BadQuery::Workload(name) => (no_workload(shown(name)), errors_example()),
        BadQuery::Reporter(reporter) => (no_reporter(shown(reporter)), choose_reporter()),
        BadQuery::Span(span) => (no_span(shown(span)), choose_span()),
        BadQuery::Bounds => (no_bounds(), choose_bounds()),
        BadQuery::Slo(slo) => (no_slo(shown(slo)), choose_slo()),
    };
    ApiError::new(Code::BadRequest, message, hint)
}

/// A format that there is not.
pub fn bad_format(format: &str) -> ApiError {
    let shown: String = format.chars().take(80).collect();
    ApiError::new(Code::BadRequest, no_format(shown.escape_debug().to_string()), choose_format())
}

fn errors_example() -> Message {
    Message::between([errors::for_example(), workload_example()], " ", "")
}

messages! {
    // addresses
    no_parameter(name) = "There is no parameter `{name}`.", "没有参数 `{name}`。";
    parameters() = "There are `namespace`, `view`, `workload`, `reporter`, `span`, `from`, `to`, `slo` and `format`.", "可用的参数有 `namespace`、`view`、`workload`、`reporter`、`span`、`from`、`to`、`slo` 和 `format`。";
    parameter_twice(name) = "`{name}` is there twice.", "`{name}` 出现了两次。";
    leave_one_out() = "Leave one of them out.", "请去掉其中一个。";
    no_view(view) = "There is no view `{view}`.", "没有视图 `{view}`。";
    choose_view() = "Choose `view=mesh` or `view=workload`.", "请选择 `view=mesh` 或 `view=workload`。";
    no_workload(name) = "`{name}` is not a workload's name.", "`{name}` 不是有效的工作负载名称。";
    workload_example() = "A workload: `workload=flaskapp-v1`.", "工作负载：`workload=flaskapp-v1`。";
    no_reporter(reporter) = "There is no reporter `{reporter}`.", "没有上报方 `{reporter}`。";
    choose_reporter() = "Choose `reporter=source` or `reporter=destination`.", "请选择 `reporter=source` 或 `reporter=destination`。";
    no_span(span) = "`{span}` is not a span.", "`{span}` 不是有效的时间范围。";
    choose_span() = "Choose `span=60`, `300`, `900` or `3600` seconds, or `from=` and `to=`.", "请选择 `span=60`、`300`、`900` 或 `3600` 秒，或使用 `from=` 和 `to=`。";
    no_bounds() = "`from` and `to` are not a span.", "`from` 和 `to` 不构成有效的时间范围。";
    choose_bounds() = "Give both in seconds since 1970, `to` 10 to 3600 s after `from`.", "请同时以 1970 年以来的秒数给出，`to` 须晚于 `from` 10 到 3600 秒。";
    no_slo(slo) = "`{slo}` is not an objective.", "`{slo}` 不是有效的目标。";
    choose_slo() = "Give a percentage above 0 and below 100, with at most three decimals: `slo=99.9`.", "请给出大于 0 且小于 100 的百分比，最多三位小数：`slo=99.9`。";
    no_format(format) = "There is no format `{format}`.", "没有格式 `{format}`。";
    choose_format() = "Choose `format=json` or `format=csv`.", "请选择 `format=json` 或 `format=csv`。";
    // what is looked at, and when
    title() = "Dashboards", "监控面板";
    learn() = "Panel", "面板";
    preflight() = "Preflight", "预检";
    view() = "View", "视图";
    mesh() = "Mesh", "网格";
    workload() = "Workload", "工作负载";
    reporter() = "Reporter", "上报方";
    source() = "source", "源端";
    destination() = "destination", "目标端";
    span() = "Span", "时间范围";
    minutes(n) = "{n} min", "{n} 分钟";
    live() = "Live", "实时";
    fixed_span() = "Not live: the span is over", "非实时：时间范围已结束";
    objective() = "Objective", "目标";
    show() = "Show", "显示";
    csv() = "CSV", "导出 CSV";
    numbers(from, to) = "{from} – {to} UTC", "{from} – {to}（UTC 时间）";
    age(seconds) = "read {seconds} s ago", "{seconds} 秒前读取";
    counted(metric, source) = "Counted as {metric}, from {source}", "指标 {metric}，来源：{source}";
    from_sidecars() = "the sidecars", "各 sidecar";
    // what is known at a glance
    nothing_read() = "No sidecar was read in this time.", "此时段没有读到任何 sidecar。";
    nothing_read_hint() = "The numbers are counted by sidecars. Deploy the demo, inject sidecars and start the load.", "数值由 sidecar 统计。请部署演示、注入 sidecar 并开始压测。";
    no_request_yet() = "There was no request in this time.", "此时段没有请求。";
    no_request_hint() = "Start the load on the panel, or choose a longer span.", "请在面板上开始压测，或选择更长的时间范围。";
    all_keep() = "All services keep their objective.", "所有服务均达到目标。";
    one_keeps(service) = "{service} keeps its objective.", "{service} 达到目标。";
    fails(service, share) = "{share} of the requests to {service} fail.", "发往 {service} 的请求有 {share} 失败。";
    burns(service, rate) = "The error budget of {service} burns at {rate}.", "{service} 的错误预算消耗速率为 {rate}。";
    budget_left(service, left, rate) = "{left} of the error budget of {service} for 60 minutes is left; it burns at {rate}", "{service} 的 60 分钟错误预算剩余 {left}，消耗速率 {rate}";
    budget_spent(service, rate) = "The error budget of {service} for 60 minutes is spent; it burns at {rate}", "{service} 的 60 分钟错误预算已耗尽，消耗速率 {rate}";
    counted_at_source() = "counted by the callers' sidecars", "由调用方 sidecar 统计";
    counted_at_destination() = "counted by the sidecars of the called", "由被调用方 sidecar 统计";
    answers(name, rate, success) = "{name} answers {rate}: {success} succeed.", "{name} 处理 {rate}，成功率 {success}。";
    sends(name, rate, success) = "{name} sends {rate}: {success} succeed.", "{name} 发出 {rate}，成功率 {success}。";
    slowest(p99) = "99 % within {p99}", "99% 的请求在 {p99} 内完成";
    weights(split) = "weights {split}", "权重 {split}";
    // numbers
    service() = "Service", "服务";
    rate() = "Requests", "请求速率";
    success() = "Success", "成功率";
    budget() = "Error budget left, 60 min", "错误预算剩余（60 分钟）";
    burn() = "Burn, 5 min", "消耗速率（5 分钟）";
    spent() = "spent", "已耗尽";
    failures(failed, allowed) = "{failed} of {allowed} failures", "失败 {failed} 次，上限 {allowed} 次";
    budget_of(service) = "Error budget of {service}", "{service} 的错误预算";
    budget_hint(slo) = "objective {slo}; the dotted line is an even burn", "目标 {slo}；虚线为匀速消耗";
    by_version() = "Rate by version", "各版本请求速率";
    success_hint(slo) = "dotted: objective {slo}", "虚线：目标 {slo}";
    axis_hint(low) = "the axis begins at {low}", "纵轴从 {low} 开始";
    duration() = "Duration", "请求耗时";
    heat_hint(most) = "darkest: {most} requests", "最深：{most} 个请求";
    codes() = "Response codes", "响应码";
    size() = "Size", "报文大小";
    size_hint() = "mean of a body", "报文体平均值";
    request() = "request", "请求";
    response() = "response", "响应";
    inbound() = "Inbound by source", "入站（按来源）";
    outbound() = "Outbound by destination", "出站（按目标）";
    table_of(what) = "{what} as a table", "{what}（表格）";
    time() = "Time (UTC)", "时间（UTC）";
    bucket() = "Up to", "上限";
    requests() = "Requests", "请求数";
    histogram() = "Histogram", "直方图";
    no_pod() = "no pod", "未到达 Pod";
    no_sidecar() = "no sidecar", "无 sidecar";
    no_answer() = "no answer", "无响应";
    routes() = "Changes of the weights", "权重变更";
    changed_to(split) = "→ {split}", "→ {split}";
    none_changed() = "none in this time", "此时段无变更";
    // why a number is not known
    why_nothing_read() = "No sidecar was read in this time", "此时段没有读到 sidecar";
    why_no_requests() = "No request in this time", "此时段没有请求";
    why_too_few(has, needs) = "{has} requests in this time; it takes at least {needs}", "此时段仅 {has} 次请求，至少需要 {needs} 次";
    why_not_reported() = "The sidecars do not report it", "sidecar 未上报此项";
    why_no_limit() = "Slower than the last bound of the histogram", "超过直方图的最大上限";
}
