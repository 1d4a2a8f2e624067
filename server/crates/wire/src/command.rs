//! The verbs: what people ask for, with a body where there is something to say. One table makes the verbs' names, their bodies, the HTTP
//! routes, the API reference and the OpenAPI document.
use crate::{InjectRequest, LoadOrder, RouteRequest, ScaleRequest, Split};
use serde::{Deserialize, Serialize};

/// One row: the documentation, the variant, the type of its body, an example of the body, its name in the path.
macro_rules! verbs {
    ($($(#[doc = $doc:literal])+ $variant:ident $(($body:ty, $example:literal))? = $name:literal,)+) => {
        /// A verb. Its name is the last segment of the path: `POST /api/demo/deploy`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum Verb {
            $($(#[doc = $doc])+ $variant,)+
        }

        /// A verb with its body.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Command {
            $($(#[doc = $doc])+ $variant $(($body))?,)+
        }

        impl Verb {
            /// All of them, in the order of the walkthrough.
            pub const ALL: &[Verb] = &[$(Verb::$variant,)+];

            /// `deploy`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Verb::$variant => $name,)+
                }
            }

            /// What it does, for the API reference.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Verb::$variant => concat!($($doc,)+),)+
                }
            }

            /// A body as somebody would send it. Returns `None` if the verb takes no body.
            pub const fn example(self) -> Option<&'static str> {
                match self {
                    $(Verb::$variant => verbs!(@example $($example)?),)+
                }
            }

            /// Reads the verb's body.
            ///
            /// # Errors
            /// The body is not JSON, or not what the verb takes.
            pub fn decode(self, body: &[u8]) -> Result<Command, serde_json::Error> {
                match self {
                    $(Verb::$variant => verbs!(@decode body $variant $($body)?),)+
                }
            }

            /// The schema of the verb's body. Returns `None` if the verb takes no body.
            #[cfg(feature = "schema")]
            pub fn schema(self, all: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
                match self {
                    $(Verb::$variant => verbs!(@schema all $($body)?),)+
                }
            }
        }

        impl Command {
            /// Which verb.
            pub const fn verb(&self) -> Verb {
                match self {
                    $(Command::$variant { .. } => Verb::$variant,)+
                }
            }
        }
    };
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
    (@decode $bytes:ident $variant:ident) => { Ok(Command::$variant) };
    (@decode $bytes:ident $variant:ident $body:ty) => { serde_json::from_slice::<$body>($bytes).map(Command::$variant) };
    (@schema $all:ident) => {{ let _ = $all; None }};
    (@schema $all:ident $body:ty) => { Some($all.subschema_for::<$body>()) };
}

verbs! {
    /// Makes Services, Deployments and the load client. Repeating it changes nothing, but brings back what was scaled to 0.
    Deploy = "deploy",
    /// Makes the load client alone.
    Client = "client",
    /// Asks a pod from inside: `curl http://127.0.0.1:7777/env/PATH`.
    Verify = "verify",
    /// Adds sidecars or removes them: sets `sidecar.istio.io/inject` on the pod templates, which starts a rollout.
    Inject(InjectRequest, r#"{"inject":true}"#) = "inject",
    /// Makes DestinationRule and VirtualService (50/50), or removes them.
    Route(RouteRequest, r#"{"present":true}"#) = "route",
    /// Sets the weights. Answers when every client-side proxy has them, or after 1 s.
    Weights(Split, r#"{"v1":80,"v2":20}"#) = "weights",
    /// Sets how many pods a workload has: without pods a version keeps its weight, and its requests fail.
    Scale(ScaleRequest, r#"{"workload":"flaskapp-v2","replicas":0}"#) = "scale",
    /// Takes over the weights that another field manager wrote.
    Adopt = "adopt",
    /// Writes the panel's last weights over those of another field manager.
    Revert = "revert",
    /// Starts, changes or stops the load.
    Load(LoadOrder, r#"{"rate":200}"#) = "load",
    /// Acts on the namespace in another panel's place.
    Takeover = "takeover",
    /// Removes everything that the panel made.
    Teardown = "teardown",
}

impl std::str::FromStr for Verb {
    type Err = ();

    fn from_str(name: &str) -> Result<Verb, ()> {
        Verb::ALL.iter().copied().find(|verb| verb.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire_and_examples_are_bodies() {
        for verb in Verb::ALL {
            assert_eq!(serde_json::to_value(verb).unwrap(), verb.name());
            assert_eq!(verb.name().parse(), Ok(*verb));
            let command = verb.decode(verb.example().unwrap_or_default().as_bytes()).unwrap();
            assert_eq!(command.verb(), *verb);
            assert!(verb.summary().ends_with('.'), "{verb:?}");
        }
        assert!("nonsense".parse::<Verb>().is_err());
    }
}
