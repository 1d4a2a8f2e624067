//! The language table. One line a key: English, then Chinese.

/// Makes [`Key`] and its texts from one list, so that neither can lack the other.
macro_rules! table {
    ($($key:ident: $en:literal, $zh:literal;)*) => {
        /// A text of the page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Key { $($key),* }

        impl Key {
            /// English and Chinese.
            pub const fn texts(self) -> [&'static str; 2] {
                match self { $(Key::$key => [$en, $zh]),* }
            }
            /// Every key.
            pub const ALL: &[Key] = &[$(Key::$key),*];
        }
    };
}

table! {
    // header
    PageTitle: "demo-panel: Istio traffic splitting, live", "demo-panel：Istio 流量分配演示";
    ClusterEmbedded: "embedded cluster", "内置集群";
    ClusterKubeconfig: "cluster {context}", "集群 {context}";
    ClusterInCluster: "in-cluster", "集群内";
    NamespaceIs: "namespace {ns}", "命名空间 {ns}";
    Dashboards: "Dashboards", "监控面板";
    Preflight: "Preflight", "预检";
    NoMeshHere: "no mesh", "无网格";
    StopLoad: "Stop load", "停止负载";
    StopAllMore: "Stop all …", "全部停止…";
    CleanUpMore: "Clean up …", "清理…";
    OtherLanguage: "中文", "English";
    Theme: "Theme: {theme}", "主题：{theme}";
    ThemeAuto: "auto", "自动";
    ThemeLight: "light", "浅色";
    ThemeDark: "dark", "深色";
    Projector: "Stage", "演示模式";
    ProjectorOff: "Leave the stage view", "退出演示模式";
    Keys: "Keys", "快捷键";
    SkipToMain: "Skip to the weights", "跳到权重";
    Paused: "paused", "已暂停";
    LiveNow: "live", "实时";
    ClusterSilent: "the cluster does not answer", "集群没有响应";
    Reconnecting: "reconnecting", "重新连接中";
    // steps
    StepDeploy: "Deploy", "部署";
    StepVerify: "Verify", "验证";
    StepInject: "Inject", "注入";
    StepLoad: "Load", "负载";
    StepShift: "Shift", "切流";
    StepBreak: "Break", "制造故障";
    StepCleanUp: "Clean up", "清理";
    StateDone: "done", "已完成";
    StateBusy: "in progress", "进行中";
    StateFailed: "needs attention", "需要处理";
    StateTodo: "to do", "待办";
    Lesson: "Lesson", "课程";
    Prediction: "Prediction", "预测";
    StepBefore: "← Previous step", "← 上一步";
    StepAfter: "Next step →", "下一步 →";
    DoDeploy: "Deploy the demo", "部署演示";
    DoDeployAgain: "Deploy again", "重新部署";
    DoClient: "Deploy the client", "部署客户端";
    DoVerify: "Verify", "验证";
    DoVerifyAgain: "Verify again", "再次验证";
    DoInject: "Inject sidecars", "注入 sidecar";
    DoInjectAgain: "Inject again", "重新注入";
    DoTakeOver: "Take over", "接管";
    DoUninject: "Remove sidecars", "移除 sidecar";
    DoStart: "Start {rate}/s", "启动 {rate}/s";
    DoRouteCreate: "Create route", "创建路由";
    DoWeightsUneven: "Set 80 / 20", "设为 80 / 20";
    DoWeightsOne: "Set 0 / 100", "设为 0 / 100";
    DoBreak: "Take v2's pods away", "移走 v2 的 Pod";
    DoCure: "Bring v2's pods back", "恢复 v2 的 Pod";
    DoRouteRemove: "Remove route", "移除路由";
    SameByKubectl: "The same by kubectl", "等效的 kubectl 命令";
    Copy: "Copy", "复制";
    Copied: "Copied", "已复制";
    CopyCommand: "Copy this command: {command}", "复制此命令：{command}";
    // hero
    HeroTitle: "Nothing is deployed yet", "尚未部署任何内容";
    HeroText: "This panel shows how Istio splits requests between two versions of an app. One click creates, in namespace {ns} ({cluster}):", "本面板演示 Istio 如何在应用的两个版本之间分配请求。一键将在命名空间 {ns}（{cluster}）中创建：";
    HeroV1: "the first version of the demo app, one pod", "演示应用的第一个版本，一个 Pod";
    HeroV2: "the second version, one pod", "第二个版本，一个 Pod";
    HeroClient: "the client that makes the load, one pod", "产生负载的客户端，一个 Pod";
    HeroServices: "a Service for the app and one for the client", "应用与客户端各一个 Service";
    HeroAfter: "Then you inject sidecars, start the load, and drag the slider: it writes a DestinationRule and a VirtualService.", "随后注入 sidecar、启动负载并拖动滑块：滑块会写入 DestinationRule 与 VirtualService。";
    DeployingTitle: "Deploying", "正在部署";
    DeployingText: "Each pod says below what it is waiting for.", "下方列出每个 Pod 正在等待什么。";
    NotReadyTitle: "The demo is not ready", "演示尚未就绪";
    CleaningTitle: "Cleaning up", "正在清理";
    LeftOverTitle: "Something is left", "仍有残留";
    // weights
    Weights: "Weights", "权重";
    Seen: "measured", "实测";
    MeshLabel: "The mesh: client, sidecars and versions", "网格：客户端、sidecar 与各版本";
    Client: "client", "客户端";
    SidecarDecides: "decides", "决定去向";
    NoLoadRuns: "no load", "无负载";
    NoPod: "no pod", "无 Pod";
    PodsReady: "{n} of {of} pods ready", "{n}/{of} 个 Pod 就绪";
    Fail: "{n} % fail", "{n}% 失败";
    DotIsRequest: "1 dot = 1 request", "1 个点 = 1 个请求";
    DotIsRequests: "1 dot = {n} requests", "1 个点 = {n} 个请求";
    PerSecond: "{n}/s", "{n}/s";
    Last60: "last 60 s", "最近 60 秒";
    Requests: "requests", "个请求";
    WhatWasSeen: "desired above, measured below; the frame is the 95 % interval", "上为设定，下为实测；方框为 95% 置信区间";
    ShareOf: "Share of {version}", "{version} 的占比";
    SliderHelp: "Left and right move it by 1, Page Up and Page Down by 10", "左右键每次 1，翻页键每次 10";
    Presets: "Presets", "预设";
    PresetLabel: "{a} / {b}: {a} percent to {va}, {b} percent to {vb}", "{a} / {b}：{va} 占 {a}%，{vb} 占 {b}%";
    Accepted: "accepted {ms}", "已接受 {ms}";
    AllSidecars: "all sidecars {ms}", "全部 sidecar {ms}";
    FirstRequest: "first request {ms}", "首个请求 {ms}";
    Ms: "{n} ms", "{n} 毫秒";
    ByThisBrowser: "by this browser", "来自本浏览器";
    ByAnotherBrowser: "changed by another browser", "已被其他浏览器修改";
    ByOther: "by {who}", "由 {who}";
    Typing: "{version}: {n} % — Enter applies", "{version}：{n}% — 回车生效";
    NeedsSidecars: "Weights need sidecars: inject", "权重需要 sidecar：请先注入";
    NoRouteYet: "No route yet: requests are spread evenly. Drag to create one (DestinationRule and VirtualService).", "尚无路由：请求平均分配。拖动滑块即可创建（DestinationRule 与 VirtualService）。";
    OffWhileStale: "The controls are off while the connection is lost.", "连接中断期间，控件已停用。";
    WeightRange: "A share is a whole number from 0 to 100.", "份额应为 0 到 100 的整数。";
    MoreVersions: "More than two versions: set one; the others keep their proportion, locked ones stay.", "超过两个版本：设置一个，其余按原比例分配，已锁定的不变。";
    KeepShare: "Keep the share of {version}", "锁定 {version} 的份额";
    Evenly: "Spread evenly", "平均分配";
    // chart
    LiveTraffic: "Live traffic", "实时流量";
    ChartLabel: "Share of each version over the last 60 seconds, actual and target", "最近 60 秒各版本的份额：实际与目标";
    LegendWished: "target", "目标";
    LegendLanes: "share above; below, the rate of each version and of failures", "上方为占比；下方为各版本及失败请求的速率";
    LegendMoment: "{s} s ago, within a second: {n} succeeded, {failed} failed", "{s} 秒前的一秒内：成功 {n}，失败 {failed}";
    NoLoadTitle: "No load: nothing to see yet", "尚未施加负载，暂无数据";
    NoLoadText: "The client sends no requests. Start the load to see where they go.", "客户端未发送请求。启动负载即可看到请求的去向。";
    NoClientText: "There is no client to send requests.", "没有可发送请求的客户端。";
    Rate: "Rate", "速率";
    RateUnit: "requests/s", "请求/秒";
    RateSlider: "Rate, requests per second", "速率（每秒请求数）";
    DoRun: "Send {n}", "发送 {n} 个";
    RunLength: "Number of requests", "请求数";
    RunTitle: "So many requests at this rate, then no more: ten as the tutorial does, or 100,000 to be sure", "按此速率发送这么多请求后停止：像教程那样发 10 个，或发 100,000 个以求确切";
    // numbers
    Verdict: "Verdict", "结论";
    WholeRun: "The whole run", "全程统计";
    // pods
    Pods: "Pods", "Pod";
    PodName: "Name", "名称";
    PodReady: "Ready", "就绪";
    PodStatus: "Status", "状态";
    PodAge: "Age", "存活时间";
    NoPods: "No pod of the demo in namespace {ns}.", "命名空间 {ns} 中没有演示的 Pod。";
    // drawer
    Drawer: "Details", "详情";
    Numbers: "Numbers", "数据";
    // log
    Log: "Activity", "最近操作";
    NoLog: "Nothing yet. Whatever is done here, or by kubectl, is told here with its command.", "暂无记录。此处或 kubectl 所做的一切都会连同命令列在这里。";
    Adopt: "Adopt", "采纳";
    Revert: "Revert", "还原";
    AdoptTitle: "Take over {theirs}, as {manager} wrote it", "接管 {manager} 写入的 {theirs}";
    RevertTitle: "Put back {ours}, as the panel wrote it last", "恢复面板上次写入的 {ours}";
    FailedEntry: "failed", "失败";
    // banners
    Stale: "Connection lost. Stale since {time}; reconnecting, the controls are off.", "连接中断。数据停留在 {time}；正在重连，控件已停用。";
    Dismiss: "Dismiss", "关闭";
    // clean-up dialog
    CleanTitle: "Clean up the demo?", "清理此演示？";
    CleanText: "The load stops, and these are removed, with their pods, from namespace {ns} ({cluster}):", "将停止负载，并从命名空间 {ns}（{cluster}）中移除以下对象及其 Pod：";
    CleanNamespace: "the namespace, if the panel made it and nothing else is in it", "命名空间（仅当由面板创建且已空）";
    CleanOnlyOurs: "Only objects labelled app.kubernetes.io/managed-by=demo-panel. What others made stays.", "仅移除带有 app.kubernetes.io/managed-by=demo-panel 标签的对象，他人创建的保留。";
    CleanConfirm: "Remove all this", "全部移除";
    Cancel: "Cancel", "取消";
    // stop-all dialog
    StopAllTitle: "Stop the load of everybody?", "停止所有人的负载？";
    StopAllText: "Every load generator of this panel stops, in every namespace. What is deployed stays; anyone can start their load again.", "本面板在所有命名空间中的负载发生器都将停止。已部署的内容保留；任何人都可以重新启动自己的负载。";
    StopAllConfirm: "Stop all load", "停止全部负载";
    // keys dialog
    KeysTitle: "Keys", "快捷键";
    KeyArrows: "move the share by 1", "份额增减 1";
    KeyPages: "move the share by 10 (on the slider, and in projector mode)", "份额增减 10（滑块上或投影模式中）";
    KeyEnds: "all to one version (on the slider, and in projector mode)", "全部给一个版本（滑块上或投影模式中）";
    KeyDigits: "type the share of {version}, then Enter", "输入 {version} 的份额，再按回车";
    KeyLoad: "load on or off", "启动或停止负载";
    KeyProjector: "projector mode", "投影模式";
    KeyHelp: "this list", "此列表";
    Close: "Close", "关闭";
    // not found
    NotFoundTitle: "There is no such page", "没有此页面";
    NotFoundText: "The panel has one page.", "面板只有一个页面。";
    NotFoundLink: "Go to the panel", "前往面板";
    NoScript: "This is the state at the moment the page was made. Controls need JavaScript and WebAssembly.", "这是页面生成时的状态。控件需要 JavaScript 与 WebAssembly。";
}
