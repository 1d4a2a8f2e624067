//! Quantities of resources as the preflight counts and shows them. Pure.
use cluster::Quantity;

/// A quantity in base units: cores, bytes, pieces. Nothing where it is none.
pub fn quantity(text: &str) -> Option<f64> {
    text.parse::<Quantity>().ok().map(Quantity::as_f64)
}

/// `1.5`, `250m`: cores as people write them.
pub fn cores(cpu: f64) -> String {
    let milli = (cpu * 1000.0).round();
    if (milli % 1000.0).abs() < 0.5 {
        format!("{:.0}", milli / 1000.0)
    } else if milli < 1000.0 {
        format!("{milli:.0}m")
    } else {
        format!("{:.1}", milli / 1000.0)
    }
}

/// `384Mi`, `1.5Gi`: bytes as people write them.
pub fn bytes(n: f64) -> String {
    let mebi = n / (1024.0 * 1024.0);
    if mebi >= 1024.0 { format!("{:.1}Gi", mebi / 1024.0).replace(".0Gi", "Gi") } else { format!("{mebi:.0}Mi") }
}

/// A quantity of a named resource.
pub fn shown(resource: &str, n: f64) -> String {
    match resource {
        r if r.contains("cpu") => cores(n),
        r if r.contains("memory") || r.contains("storage") => bytes(n),
        _ => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, value) in [
            ("100m", Some(0.1)),
            ("2", Some(2.0)),
            ("128Mi", Some(134_217_728.0)),
            ("1G", Some(1e9)),
            ("1e3", Some(1000.0)),
            ("0.5", Some(0.5)),
            ("x", None),
            ("", None),
            ("1Qi", None),
            ("1e3Ki", None),
        ] {
            assert_eq!(quantity(text), value, "{text}");
        }
        assert_eq!((cores(0.1), cores(2.0), cores(1.25)), ("100m".into(), "2".into(), "1.2".into()));
        assert_eq!((bytes(134_217_728.0), bytes(1.5 * 1024.0 * 1024.0 * 1024.0)), ("128Mi".into(), "1.5Gi".into()));
    }
}
