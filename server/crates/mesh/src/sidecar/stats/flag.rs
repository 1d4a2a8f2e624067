//! Envoy's flags of a response, for the metrics and the access log.

/// Why a response is not simply the upstream's (Envoy's `RESPONSE_FLAGS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::upper_case_acronyms)] // Envoy's own spelling.
pub(crate) enum Flag {
    None,
    /// No healthy upstream.
    UH,
    /// Connection to the upstream failed.
    UF,
    /// A limit of the connection pool is reached.
    UO,
    /// The upstream ended the connection.
    UC,
    /// The upstream ended its stream of HTTP/2.
    UR,
    /// The upstream took too long.
    UT,
    /// What the upstream sent is no HTTP.
    UPE,
    /// No route.
    NR,
    /// No such cluster.
    NC,
    /// The client went away.
    DC,
    /// The client gave its stream of HTTP/2 up.
    DR,
    /// The client's request is malformed.
    DPE,
    /// The client took too long with its body.
    SI,
    /// Fault injected: abort.
    FI,
    /// Fault injected: delay.
    DI,
}

impl Flag {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Flag::None => "-",
            Flag::UH => "UH",
            Flag::UF => "UF",
            Flag::UO => "UO",
            Flag::UC => "UC",
            Flag::UR => "UR",
            Flag::UT => "UT",
            Flag::UPE => "UPE",
            Flag::NR => "NR",
            Flag::NC => "NC",
            Flag::DC => "DC",
            Flag::DR => "DR",
            Flag::DPE => "DPE",
            Flag::SI => "SI",
            Flag::FI => "FI",
            Flag::DI => "DI",
        }
    }
}
