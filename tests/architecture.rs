//! The import table of `docs/ARCHITECTURE.md`, and the rules about files that a compiler does not check.

mod rust_tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rust_tokens::{Token, tokens};

/// One row of the import table.
struct Row {
    modules: BTreeSet<String>,
    crates: BTreeSet<String>,
    never: Vec<String>,
}

#[test]
fn every_import_is_in_the_table() {
    let table = import_table();
    let dependencies = dependencies();
    let mut faults = Vec::new();
    for file in product_files() {
        let Some(module) = module_of(&file) else { continue };
        let row = &table[&module];
        let tokens = without_tests(tokens(&read(&file)));
        for (line, name) in imported_modules(&tokens, depth_of(&file)) {
            if name != module && table.contains_key(&name) && !row.modules.contains(&name) {
                faults.push(format!("{}:{line}: `{module}` may not import `{name}`", file.display()));
            }
        }
        for (line, name) in used_crates(&tokens, &dependencies) {
            if !row.crates.contains(&name) {
                faults.push(format!("{}:{line}: `{module}` may not use the crate `{name}`", file.display()));
            }
        }
        for never in &row.never {
            for line in occurrences(&tokens, never) {
                faults.push(format!("{}:{line}: `{module}` must not contain `{never}`", file.display()));
            }
        }
    }
    report(faults);
}

#[test]
fn every_module_has_a_row_and_every_row_a_module() {
    let rows: BTreeSet<_> = import_table().into_keys().collect();
    let modules: BTreeSet<_> = source_files("src", &["rs"]).iter().filter_map(|file| module_of(file)).collect();
    assert_eq!(modules, rows, "left: modules in src/, right: rows of the import table in docs/ARCHITECTURE.md");
}

#[test]
fn the_table_gives_each_platform_crate_to_one_module() {
    let table = import_table();
    let owners = [
        ("wgpu", "gpu"),
        ("tokenizers", "tokenizer"),
        ("unicode_general_category", "tokenizer"),
        ("wasm_bindgen", "wasm"),
        ("js_sys", "wasm"),
        ("llguidance", "grammar"),
        ("minijinja", "jinja"),
    ];
    for (name, owner) in owners {
        let users: Vec<_> = table.iter().filter(|(_, row)| row.crates.contains(name)).map(|(m, _)| m).collect();
        assert_eq!(users, [owner], "users of the crate `{name}`");
    }
}

#[test]
fn every_file_says_in_its_first_line_what_it_is_for() {
    let mut faults = Vec::new();
    for (folder, extensions) in [
        ("src", &["rs", "wgsl"][..]),
        ("tests", &["rs", "ts", "mjs", "py"]),
        ("xtask", &["rs", "mjs"]),
        ("js", &["ts"]),
        ("www", &["ts", "css"]),
        ("models", &["py"]),
        ("bench", &["rs", "ts", "mjs", "py"]),
    ] {
        for file in source_files(folder, extensions) {
            let text = read(&file);
            let first = text.lines().find(|line| !line.starts_with("#!/")).unwrap_or("");
            let opening: &[&str] = match extension(&file) {
                "rs" => &["//! "],
                "py" => &["\"\"\"", "# "],
                "css" => &["/* "],
                _ => &["// ", "/** ", "/* "],
            };
            if !opening.iter().any(|o| first.strip_prefix(o).is_some_and(|rest| rest.len() > 8)) {
                faults.push(format!("{}:1: the first line must say what the file is for", file.display()));
            }
        }
    }
    report(faults);
}

#[test]
fn no_shader_hides_in_a_rust_string() {
    let mut faults = Vec::new();
    for file in source_files("src", &["rs"]) {
        for token in tokens(&read(&file)).iter().filter(|token| token.is_string) {
            if ["@compute", "@group(", "var<storage", "var<workgroup"].iter().any(|wgsl| token.text.contains(wgsl)) {
                faults.push(format!("{}:{}: WGSL belongs in a .wgsl file", file.display(), token.line));
            }
        }
    }
    report(faults);
}

/// House style: `cfg(feature)` and `cfg(target)` choose modules and imports, so that a function reads the same everywhere.
#[test]
fn conditional_compilation_chooses_modules_not_statements() {
    let mut faults = Vec::new();
    for file in source_files("src", &["rs"]) {
        let tokens = tokens(&read(&file));
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is("cfg")) {
            let end = closing(&tokens, at + 1);
            let condition = &tokens[at..end];
            let on_platform = condition.iter().any(|t| t.is("feature") || t.text.starts_with("target_"));
            let macro_call = tokens.get(at + 1).is_some_and(|t| t.is("!"));
            let mut next = end;
            while tokens.get(next).is_some_and(|t| t.is("]") || t.is("#")) {
                next = if tokens[next].is("#") { closing(&tokens, next + 1) } else { next + 1 };
            }
            let item = tokens[next.min(tokens.len())..]
                .iter()
                .find(|t| !["pub", "(", ")", "crate", "super", "in"].contains(&t.text.as_str()));
            if macro_call || on_platform && !item.is_some_and(|t| t.is("mod") || t.is("use")) {
                faults.push(format!("{}:{}: put the variants in modules", file.display(), token.line));
            }
        }
    }
    report(faults);
}

#[test]
fn nothing_is_left_for_later() {
    let phrases = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimple", "mented!("),
        concat!("keep in ", "sync"),
    ];
    let mut faults = Vec::new();
    for folder in ["src", "tests", "xtask", "js", "www"] {
        for file in source_files(folder, &["rs", "wgsl", "ts", "mjs", "py", "css", "html"]) {
            for (index, line) in read(&file).lines().enumerate() {
                if let Some(phrase) = phrases.iter().find(|phrase| line.contains(**phrase)) {
                    faults.push(format!("{}:{}: `{phrase}`", file.display(), index + 1));
                }
            }
        }
    }
    report(faults);
}

#[test]
fn no_source_file_outgrows_its_subject() {
    const MOST_LINES: usize = 500;
    let mut faults = Vec::new();
    for file in source_files("src", &["rs", "wgsl"]) {
        let text = read(&file);
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > MOST_LINES {
            faults.push(format!("{}: {lines} lines before its tests, at most {MOST_LINES}", file.display()));
        }
    }
    report(faults);
}

#[test]
fn the_scanner_finds_every_spelling_of_an_edge() {
    let source = r##"
        // use crate::comment;
        use crate::{error::Result, gpu, model::{Config, names}};
        use super::super::session::Engine;
        use wgpu::Buffer as B;
        use half;
        fn f(x: crate::cpu::Sink, s: &'static str) -> ::candle_core::Tensor { "crate::string" ; r#"crate::raw"#; model::wgpu::x() }
        #[cfg(test)]
        mod testing;
        use bytemuck::Pod;
        #[cfg(test)]
        mod tests { use crate::tokenizer; }
    "##;
    let tokens = without_tests(tokens(source));
    let names = |found: Vec<(usize, String)>| found.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names(imported_modules(&tokens, 2)), ["error", "gpu", "model", "session", "cpu"]);
    let dependencies = ["wgpu", "half", "candle_core", "bytemuck", "serde"].map(str::to_owned).into();
    assert_eq!(
        used_crates(&tokens, &dependencies),
        [(5, "wgpu".into()), (6, "half".into()), (7, "candle_core".into()), (10, "bytemuck".into())]
    );
    assert_eq!(occurrences(&tokens, "super::session"), [4]);
}

/// The table of `docs/ARCHITECTURE.md`; crate names as Rust spells them.
fn import_table() -> BTreeMap<String, Row> {
    let document = read(Path::new("docs/ARCHITECTURE.md"));
    let section = document.split("## Import table").nth(1).expect("the section \"Import table\"");
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<Vec<String>> = line.trim_matches('|').split('|').map(quoted).collect();
        let [module, modules, crates, never] = cells.as_slice() else { panic!("four cells expected: {line}") };
        let row = Row {
            modules: modules.iter().cloned().collect(),
            crates: crates.iter().map(|name| name.replace('-', "_")).collect(),
            never: never.clone(),
        };
        (module[0].clone(), row)
    })
    .collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every crate in a `[dependencies]` table of Cargo.toml, as Rust spells it.
fn dependencies() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in read(Path::new("Cargo.toml")).lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("dev-dependencies");
        } else if let (true, Some((name, _))) = (inside, line.split_once(" = ")) {
            names.insert(name.replace('-', "_"));
        }
    }
    assert!(names.contains("tokenizers"), "Cargo.toml was not understood: {names:?}");
    names
}

/// The top-level module a source file belongs to; none for the crate root.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix("src").ok()?;
    let first = inside.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib").then(|| name.to_owned())
}

/// How many `super`s lead from a file's module to the crate root.
fn depth_of(file: &Path) -> usize {
    let parts = file.strip_prefix("src").map_or(0, |inside| inside.iter().count());
    if file.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// Top-level modules named by `crate::…`, by `qwen3_web::…`, or by enough `super`s to reach the crate root.
fn imported_modules(tokens: &[Token], depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 2 < tokens.len() {
        let mut supers = 0;
        let mut next = at;
        while tokens.get(next).is_some_and(|t| t.is("super")) && tokens.get(next + 1).is_some_and(|t| t.is("::")) {
            supers += 1;
            next += 2;
        }
        let from_root = (tokens[at].is("crate") || tokens[at].is("qwen3_web")) && tokens[at + 1].is("::");
        if from_root {
            next = at + 2;
        }
        if from_root || supers > 0 && supers >= depth {
            found.extend(first_segments(tokens, next));
        }
        at = next.max(at + 1);
    }
    found
}

/// The first path segment at `at`, or of each branch of the group `{…}` there.
fn first_segments(tokens: &[Token], at: usize) -> Vec<(usize, String)> {
    if !tokens.get(at).is_some_and(|t| t.is("{")) {
        return tokens.get(at).map(|t| (t.line, t.text.clone())).into_iter().collect();
    }
    let mut found = Vec::new();
    let mut level = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" => level += 1,
            "}" => level -= 1,
            _ if level == 1 && (tokens[index - 1].is("{") || tokens[index - 1].is(",")) => {
                found.push((token.line, token.text.clone()));
            }
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    found
}

/// Dependencies named as the first segment of a path or of a `use`.
fn used_crates(tokens: &[Token], dependencies: &BTreeSet<String>) -> Vec<(usize, String)> {
    let named = |at: usize| -> bool {
        let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
        let after = tokens.get(at + 1).map_or("", |after| after.text.as_str());
        let path_start = before != "::" || at >= 2 && !tokens[at - 2].is_word();
        path_start && after == "::" || before == "use"
    };
    let words = tokens.iter().enumerate().filter(|(_, token)| !token.is_string && dependencies.contains(&token.text));
    words.filter(|(at, _)| named(*at)).map(|(_, token)| (token.line, token.text.clone())).collect()
}

/// Lines where the tokens of `pattern` stand in a row.
fn occurrences(code: &[Token], pattern: &str) -> Vec<usize> {
    let pattern = tokens(pattern);
    let matches = |window: &&[Token]| window.iter().zip(&pattern).all(|(a, b)| a.text == b.text && !a.is_string);
    code.windows(pattern.len()).filter(matches).map(|window| window[0].line).collect()
}

/// The index behind the bracket that closes the first one at or after `at`.
fn closing(tokens: &[Token], at: usize) -> usize {
    let mut level = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" => level += 1,
            ")" | "]" => level -= 1,
            _ => continue,
        }
        if level == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// Tests are last in a file, so everything from a `cfg(test)` on is test code, unless that is a file of its own.
fn without_tests(mut tokens: Vec<Token>) -> Vec<Token> {
    let start = (0..tokens.len()).find(|&at| is_for_tests(&tokens[at..]) && test_file(&tokens[at..]).is_none());
    tokens.truncate(start.unwrap_or(tokens.len()));
    tokens
}

/// Whether the tokens begin with `cfg(test`.
fn is_for_tests(tokens: &[Token]) -> bool {
    tokens.len() > 2 && tokens[0].is("cfg") && tokens[1].is("(") && tokens[2].is("test")
}

/// The file of `cfg(test)] mod name;` or of `cfg(test)] #[path = "file"] mod name;`.
fn test_file(tokens: &[Token]) -> Option<String> {
    let start = is_for_tests(tokens).then(|| closing(tokens, 1))?;
    match tokens.get(start..)? {
        [_, module, name, end, ..] if module.is("mod") && end.is(";") => Some(format!("{}.rs", name.text)),
        [_, _, _, path, _, file, _, module, _, end, ..] if path.is("path") && module.is("mod") && end.is(";") => {
            Some(file.text.clone())
        }
        _ => None,
    }
}

/// Source files with the product's code: those without a test module of their own.
fn product_files() -> Vec<PathBuf> {
    let files = source_files("src", &["rs"]);
    let mut test_files = BTreeSet::new();
    for file in &files {
        let tokens = tokens(&read(file));
        let names = (0..tokens.len()).filter_map(|at| test_file(&tokens[at..]));
        test_files.extend(names.map(|name| file.with_file_name(name)));
    }
    files.into_iter().filter(|file| !test_files.contains(file)).collect()
}

/// Files below `folder` with one of the extensions, sorted; built and fetched files are left out.
fn source_files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if path.is_dir() && !["node_modules", "dist", "__pycache__", "target"].contains(&name) {
                folders.push(path);
            } else if extensions.contains(&extension(&path)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
