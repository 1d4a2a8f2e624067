//! What Istio 1.31 refuses in a VirtualService and a DestinationRule, in its words (`validation.istio.io` and the CRDs' schemas).
//!
//! **Invariant:** pure. Weights need not sum to 100: 60/20 is accepted and means 75/25.

mod destination_rule;
mod http_route;
mod names;
mod virtual_service;

pub use destination_rule::destination_rule;
pub use virtual_service::virtual_service;

/// What the API server answers when it refuses an object, from the words of [`virtual_service`] or [`destination_rule`]:
/// status code, reason, message. What a CRD's schema refuses is 422 `Invalid`, what Istio's webhook refuses is 400 `BadRequest`.
pub fn refusal(kind: &str, name: &str, words: &str) -> (u16, &'static str, String) {
    if words.starts_with("spec.") {
        (422, "Invalid", format!("{kind}.networking.istio.io \"{name}\" is invalid: {words}"))
    } else {
        (
            400,
            "BadRequest",
            format!("admission webhook \"validation.istio.io\" denied the request: configuration is invalid: {words}"),
        )
    }
}

/// Errors that are told of one object: each repeats a part of it.
const MOST_ERRORS: usize = 64;

/// Collects errors; the schema's come first because the API server checks them before it calls the webhook.
#[derive(Default)]
struct Errors {
    schema: Vec<String>,
    webhook: Vec<String>,
}

impl Errors {
    fn schema(&mut self, words: String) {
        if self.schema.len() < MOST_ERRORS {
            self.schema.push(words);
        }
    }

    fn add(&mut self, words: impl Into<String>) {
        if self.webhook.len() < MOST_ERRORS {
            self.webhook.push(words.into());
        }
    }

    fn check(&mut self, result: Result<(), String>) {
        if let Err(words) = result {
            self.add(words);
        }
    }

    /// Several errors read as Go's multierror prints them.
    fn finish(mut self) -> Result<(), String> {
        match (self.schema.len(), self.webhook.len()) {
            (0, 0) => Ok(()),
            (0, 1) => Err(self.webhook.remove(0)),
            (0, n) => Err(format!("{n} errors occurred:\n\t* {}\n\n", self.webhook.join("\n\t* "))),
            (1, _) => Err(self.schema.remove(0)),
            (_, _) => Err(self.schema.join(", ")),
        }
    }
}
