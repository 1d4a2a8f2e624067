//! The lesson: what each step says and asks. Pure: the server words it, in the language of each stream.
//!
//! A term in brackets, `[sidecar]`, has an explanation of two lines in [`TERMS`].
use super::Lang;
use wire::{Answer, Lesson, LessonStep, Piece};

/// English and Chinese.
pub(super) type Both = [&'static str; 2];

/// A step's texts. The right answer is marked.
pub(super) struct Text {
    title: Both,
    task: Both,
    pub(super) why: Both,
    question: Both,
    answers: &'static [(bool, Both, Both)],
}

pub(super) const TERMS: [[Both; 2]; 10] = [
    [
        [
            "Service",
            "A stable name and address for a set of pods. A connection to it reaches one of the pods whose labels match.",
        ],
        ["服务（Service）", "为一组 Pod 提供的固定名称与地址。发往它的连接会到达标签匹配的其中一个 Pod。"],
    ],
    [
        ["pod", "The smallest thing that Kubernetes runs: one or more containers that share an address."],
        ["Pod", "Kubernetes 运行的最小单元：共享同一地址的一个或多个容器。"],
    ],
    [
        ["sidecar", "A proxy that runs beside the app in the same pod. Requests to and from the app pass through it."],
        ["边车（sidecar）", "与应用运行在同一 Pod 中的代理，进出应用的请求都经过它。"],
    ],
    [
        [
            "Injection",
            "When a pod is created, the API server adds the sidecar to it. A pod that exists already is not changed.",
        ],
        ["注入", "创建 Pod 时，API 服务器会为其加入 sidecar；已经存在的 Pod 不会改变。"],
    ],
    [
        [
            "subset",
            "Pods of a Service that share a label, under a name. A DestinationRule defines it; a route can send requests to it.",
        ],
        ["子集", "Service 中带有相同标签的一组 Pod，由目标规则命名，路由可以把请求发往它。"],
    ],
    [
        ["DestinationRule", "The Istio object that defines subsets, and how a client balances and connects."],
        ["目标规则（DestinationRule）", "定义子集以及客户端如何负载均衡和建立连接的 Istio 对象。"],
    ],
    [
        ["VirtualService", "The Istio object that says where requests for a host go: here to subsets, by weight."],
        ["虚拟服务（VirtualService）", "规定发往某主机的请求去向的 Istio 对象：此处按权重发往各子集。"],
    ],
    [
        ["weights", "The odds with which the sidecar draws a version for each request. They are no quota."],
        ["权重", "sidecar 为每个请求抽取版本时的概率，并不是配额。"],
    ],
    [
        ["open loop", "The load generator sends at fixed times, whatever is answered. A slow app cannot slow it down."],
        ["开环负载", "负载发生器按固定时刻发送请求，不等待应答；应用变慢也不会让它变慢。"],
    ],
    [
        ["confidence interval", "A range around the measured share. Of 100 such ranges, 95 contain the true share."],
        ["置信区间", "围绕实测占比的一个范围。100 个这样的范围中，约有 95 个包含真实占比。"],
    ],
];

pub(super) const STEPS: [Text; crate::model::STEPS] = [
    Text {
        title: ["Deploy the demo", "部署演示"],
        task: ["Deploy two versions of one app, and a client.", "部署同一应用的两个版本和一个客户端。"],
        why: [
            "A [Service] selects [pod]s by label. Both versions carry the label app: flaskapp, so one Service has the pods of both.",
            "[服务（Service）]按标签选择 [Pod]。两个版本都带有标签 app: flaskapp，因此同一个 Service 同时包含两个版本的 Pod。",
        ],
        question: ["Two versions, one Service: where do requests go?", "两个版本、一个 Service：请求会发往哪里？"],
        answers: &[
            (
                false,
                ["to the newest version", "最新的版本"],
                [
                    "A Service knows labels, not versions. Both versions carry the label that it selects.",
                    "Service 只看标签，不认识版本；两个版本都带有它所选择的标签。",
                ],
            ),
            (false, ["to v1", "v1"], ["Which pod was there first plays no part.", "Pod 创建的先后没有影响。"]),
            (
                true,
                ["to both, at random", "两者随机"],
                ["Right: each connection reaches one of the ready pods.", "正确：每个连接会到达某个就绪的 Pod。"],
            ),
        ],
    },
    Text {
        title: ["Look from inside a pod", "从 Pod 内部查看"],
        task: ["Ask a pod about itself, from inside it.", "从 Pod 内部向它自己发起请求。"],
        why: [
            "A [pod] has an address and an environment of its own. Inside it, 127.0.0.1 is the pod itself.",
            "每个 [Pod] 都有自己的地址和环境变量。在 Pod 内部，127.0.0.1 就是它自己。",
        ],
        question: ["From inside a pod, 127.0.0.1 is …", "在 Pod 内部，127.0.0.1 是……"],
        answers: &[
            (
                false,
                ["the node", "节点"],
                [
                    "Each pod has a network of its own; the node's loopback address is not in it.",
                    "每个 Pod 都有独立的网络，其中没有节点的回环地址。",
                ],
            ),
            (
                true,
                ["the pod", "Pod 自己"],
                ["Right: so the app answers without any Service.", "正确：因此无需任何 Service，应用就能应答。"],
            ),
            (
                false,
                ["the Service", "Service"],
                [
                    "A Service has an address of its own, to which its name leads.",
                    "Service 有自己的地址，需通过其名称访问。",
                ],
            ),
        ],
    },
    Text {
        title: ["Inject sidecars", "注入 sidecar"],
        task: ["Add a sidecar to every pod.", "为每个 Pod 加入 sidecar。"],
        why: [
            "[Injection] happens when a pod is created: a second container, the [sidecar], is added to it. So the pods have to be replaced.",
            "[注入]发生在 Pod 创建之时：为其加入第二个容器，即[边车（sidecar）]。因此 Pod 必须被替换。",
        ],
        question: ["The label is set. What happens to pods that run already?", "标签已设置。正在运行的 Pod 会怎样？"],
        answers: &[
            (
                false,
                ["they get it at once", "立即获得 sidecar"],
                ["No container can be added to a pod that runs.", "无法向正在运行的 Pod 添加容器。"],
            ),
            (
                true,
                ["new pods replace them", "被新的 Pod 替换"],
                [
                    "Right: the pod template has changed, so the Deployment rolls out new pods.",
                    "正确：Pod 模板已改变，Deployment 会滚动更新出新的 Pod。",
                ],
            ),
            (
                false,
                ["nothing until a crash", "崩溃之前没有变化"],
                [
                    "That is so for a label on the namespace alone. Here the pod template changes, too.",
                    "仅在命名空间上加标签时如此；这里 Pod 模板也改变了。",
                ],
            ),
        ],
    },
    Text {
        title: ["Send requests", "发送请求"],
        task: ["Start the load.", "启动负载。"],
        why: [
            "The load is an [open loop]. What it shows is a sample: the [confidence interval] narrows as requests are counted.",
            "该负载为[开环负载]。所见只是样本：请求越多，[置信区间]越窄。",
        ],
        question: ["Without a route, which share does v2 get?", "没有路由时，v2 会得到多少？"],
        answers: &[
            (
                false,
                ["none", "没有"],
                [
                    "Without a route nobody prefers a version: the pods decide.",
                    "没有路由时，没有谁偏向某个版本：由 Pod 决定。",
                ],
            ),
            (
                true,
                ["about half", "约一半"],
                ["Right: one of the two ready pods is v2's.", "正确：两个就绪的 Pod 中有一个属于 v2。"],
            ),
            (
                false,
                ["nobody can tell", "无法得知"],
                [
                    "One of two ready pods is v2's, and connections are spread over the ready pods.",
                    "两个就绪的 Pod 中有一个属于 v2，而连接会分散到就绪的 Pod。",
                ],
            ),
        ],
    },
    Text {
        title: ["Shift traffic with weights", "用权重切流"],
        task: ["Set the weights to 80/20, then to 0/100.", "把权重设为 80/20，再设为 0/100。"],
        why: [
            "The client's [sidecar] draws a [subset] for every request. The [VirtualService] says how often: its [weights] are odds, not quotas. Nothing restarts when they change.",
            "客户端的[边车（sidecar）]为每个请求抽取一个[子集]，频率由[虚拟服务（VirtualService）]规定：[权重]是概率而非配额。修改权重不会重启任何东西。",
        ],
        question: ["At 80/20, how many of ten requests reach v2?", "权重为 80/20 时，十个请求中有几个到达 v2？"],
        answers: &[
            (
                false,
                ["exactly 2", "正好 2 个"],
                [
                    "Weights are odds: it is exactly 2 in 30 of 100 tries.",
                    "权重是概率：100 次尝试中约有 30 次正好是 2 个。",
                ],
            ),
            (
                true,
                ["usually 0 to 4", "通常 0 到 4 个"],
                [
                    "Right: in 97 of 100 tries. So ten requests prove little.",
                    "正确：100 次尝试中约有 97 次如此。因此十个请求证明不了什么。",
                ],
            ),
            (
                false,
                ["always 1 to 3", "总是 1 到 3 个"],
                ["That is so in 77 of 100 tries.", "100 次尝试中约有 77 次如此。"],
            ),
        ],
    },
    Text {
        title: ["Break it", "制造故障"],
        task: ["Let v2 keep its weight, and take its pods away.", "保留 v2 的权重，移走它的 Pod。"],
        why: [
            "Weights do not look at readiness. A [subset] without pods keeps its share, and the client's [sidecar] answers 503 for it.",
            "权重不看就绪状态。没有 Pod 的[子集]仍保有它的份额，客户端的[边车（sidecar）]会对其返回 503。",
        ],
        question: ["v2 has weight 20 and no pods. The client sees …", "v2 权重为 20 且没有 Pod。客户端会看到……"],
        answers: &[
            (
                false,
                ["nothing", "毫无变化"],
                [
                    "No other subset steps in: each request was drawn for v2.",
                    "不会有其他子集接替：这些请求已被抽给 v2。",
                ],
            ),
            (
                true,
                ["every fifth request fails", "五分之一的请求失败"],
                ["Right: its share fails, all of it, and no more.", "正确：它的那一份全部失败，仅此而已。"],
            ),
            (
                false,
                ["every request fails", "所有请求失败"],
                ["Requests that are drawn for v1 succeed as before.", "抽给 v1 的请求照常成功。"],
            ),
        ],
    },
    Text {
        title: ["Clean up", "清理"],
        task: ["Remove what the demo made.", "移除演示创建的一切。"],
        why: [
            "Everything that the panel makes carries the label app.kubernetes.io/managed-by=demo-panel, and goes. What others made stays.",
            "面板创建的对象都带有标签 app.kubernetes.io/managed-by=demo-panel，会被移除；他人创建的保留。",
        ],
        question: ["What is left afterwards?", "之后会剩下什么？"],
        answers: &[
            (
                true,
                ["nothing of ours", "没有我们的东西"],
                ["Right: and the panel says what others have left.", "正确：面板还会列出他人留下的东西。"],
            ),
            (
                false,
                ["the namespace, always", "命名空间总会留下"],
                [
                    "It goes as well, if the panel made it and nothing else is in it.",
                    "如果它由面板创建且已空，也会一并移除。",
                ],
            ),
        ],
    },
];

/// The lesson's texts.
pub fn lesson(lang: Lang) -> Lesson {
    let step = |text: &Text| LessonStep {
        title: pick(lang, text.title),
        task: pick(lang, text.task),
        why: pieces(lang, text.why),
        question: pick(lang, text.question),
        answers: text
            .answers
            .iter()
            .map(|(right, text, means)| Answer { text: pick(lang, *text), right: *right, means: pick(lang, *means) })
            .collect(),
    };
    Lesson { steps: STEPS.iter().map(step).collect() }
}

pub(super) fn pick(lang: Lang, both: Both) -> String {
    both[usize::from(lang == Lang::Zh)].to_owned()
}

/// A text with its terms explained.
fn pieces(lang: Lang, both: Both) -> Vec<Piece> {
    let plain = |text: &str| Piece { text: text.to_owned(), term: String::new() };
    let mut pieces = Vec::new();
    let mut rest = both[usize::from(lang == Lang::Zh)];
    while let Some((before, (term, after))) =
        rest.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    {
        let known = TERMS.iter().map(|both| both[usize::from(lang == Lang::Zh)]).find(|[name, _]| *name == term);
        let means = known.map(|[_, means]| means.to_owned()).unwrap_or_default();
        pieces.extend((!before.is_empty()).then(|| plain(before)));
        pieces.push(Piece { text: term.to_owned(), term: means });
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then(|| plain(rest)));
    pieces
}
