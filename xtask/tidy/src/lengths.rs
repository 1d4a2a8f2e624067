//! Rules on a single file: what it opens with, how long it and its functions may be.
use crate::exceptions;
use crate::sources::Source;

/// Longest file of code, tests and tables aside.
const FILE_LINES: usize = 400;
/// Longest function, tables aside.
const FUNCTION_LINES: usize = 80;

/// A line for each breach.
pub fn breaches(source: &Source) -> Vec<String> {
    let Source { name, facts, test } = source;
    let mut breaches = Vec::new();
    if !facts.opens_with_job {
        breaches.push(format!("{name}: does not open with a `//!` line that says its job"));
    }
    if *test {
        return breaches;
    }
    let lines = facts.code_lines();
    if lines > exceptions::file_lines(name).unwrap_or(FILE_LINES) {
        breaches.push(format!("{name}: {lines} lines of code, more than {FILE_LINES}"));
    }
    for function in facts.functions.iter().filter(|function| !function.test && !function.table) {
        let allowed = exceptions::function_lines(name, &function.name).unwrap_or(FUNCTION_LINES);
        if function.lines > allowed {
            let (line, called, lines) = (function.line, &function.name, function.lines);
            breaches.push(format!("{name}:{line}: `{called}` has {lines} lines, more than {FUNCTION_LINES}"));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "//! A file.\n";

    fn told(name: &str, text: &str) -> Vec<String> {
        breaches(&Source::read(name, text).unwrap())
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_opens_with_its_job() {
        let breach = "a.rs: does not open with a `//!` line that says its job";
        for (text, wanted) in
            [("//! Reads.\nfn a() {}", None), ("fn a() {}", Some(breach)), ("// Reads.", Some(breach))]
        {
            assert_eq!(told("a.rs", text).first().map(String::as_str), wanted, "{text}");
        }
    }

    #[test]
    fn a_file_has_at_most_400_lines_beside_tests_and_tables() {
        let code = |lines: usize| OPENING.to_owned() + &"struct A;\n".repeat(lines - 1);
        let table = format!("const ALL: &[&str] = &[\n{}];\n", "    \"a\",\n".repeat(50));
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn a() {}\n".repeat(50));
        for (text, wanted) in [
            (code(400), None),
            (code(401), Some("a.rs: 401 lines of code, more than 400")),
            (code(400) + &table + &tests, None),
            (code(400) + "const A: u8 = 1;\n", Some("a.rs: 401 lines of code, more than 400")),
        ] {
            assert_eq!(told("a.rs", &text).first().map(String::as_str), wanted);
        }
        assert_eq!(told("server/tests/a.rs", &code(401)), [""; 0]);
    }

    #[test]
    fn a_function_has_at_most_80_lines() {
        let method = format!("impl A {{\n{}}}\n", function(81));
        let table = format!("fn word() -> u8 {{\n    match 1 {{\n{}    }}\n}}\n", "        1 => 2,\n".repeat(90));
        let logic = format!("fn word() -> u8 {{\n    match 1 {{\n{}    }}\n}}\n", "        1 => { 2 }\n".repeat(90));
        for (text, wanted) in [
            (function(80), None),
            (function(81), Some("a.rs:2: `long` has 81 lines, more than 80")),
            (method, Some("a.rs:3: `long` has 81 lines, more than 80")),
            (format!("#[test]\n{}", function(81)), None),
            (format!("#[cfg(test)]\nmod tests {{\n{}}}", function(81)), None),
            (table, None),
            (logic, Some("a.rs:2: `word` has 94 lines, more than 80")),
        ] {
            assert_eq!(told("a.rs", &(OPENING.to_owned() + &text)).first().map(String::as_str), wanted);
        }
    }
}
