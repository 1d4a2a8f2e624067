//! The sign-in page: a form that needs no script. The server alone draws it.
use crate::api;
use crate::text::SignInWord;
use leptos::prelude::*;

/// Asks for the token. `refused` says why the last one was not taken, `query` which panel to come back to.
#[component]
pub fn SignIn(refused: Option<SignInWord>, query: String) -> impl IntoView {
    let lang = api::prefs().lang;
    let t = move |word: SignInWord| word.said(lang);
    view! {
        <main class="lonely">
            <form class="card" method="post" action=format!("/sign-in{query}") data-testid="sign-in">
                <h1>"demo-panel"</h1>
                <p>{t(SignInWord::Lead)}</p>
                <label class="token" for="token">{t(SignInWord::Token)}
                    <input class="num" id="token" name="token" type="password" autocomplete="current-password" required autofocus
                        aria-invalid=refused.map(|_| "true") aria-describedby=refused.map(|_| "refused")/>
                </label>
                {refused.map(|word| view! { <p id="refused" class="bad" role="alert" data-testid="refused">{t(word)}</p> })}
                <button class="primary" data-testid="enter">{t(SignInWord::Enter)}</button>
            </form>
        </main>
    }
}
