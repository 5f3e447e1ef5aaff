//! The small preprocessor of the WGSL files: constants, includes, conditions and unrolled loops, all decided outside.
//!
//! A directive stands alone on its line:
//! - `#include NAME` inserts the file of that name from [`SOURCES`];
//! - `#if NAME`, `#if NAME == VALUE`, `#if NAME > NUMBER`, `#else`, `#endif`; `#if NAME` holds unless it is `0`;
//! - `#for i in A..B` … `#end` repeats the lines between for `i` = A, A+1, …, B−1.
//!
//! `$NAME` and `${NAME}` stand for a constant or a loop variable anywhere else. A name that was not defined is an error.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::error::{Error, Result};

/// Every WGSL file by name.
pub const SOURCES: &[(&str, &str)] = &[
    ("append", include_str!("kernels/append.wgsl")),
    ("attention", include_str!("kernels/attention.wgsl")),
    ("attention_serial", include_str!("kernels/attention_serial.wgsl")),
    ("embed", include_str!("kernels/embed.wgsl")),
    ("guess", include_str!("kernels/guess.wgsl")),
    ("heads", include_str!("kernels/heads.wgsl")),
    ("keep", include_str!("kernels/keep.wgsl")),
    ("kv", include_str!("kernels/kv.wgsl")),
    ("matmul", include_str!("kernels/matmul/matmul.wgsl")),
    ("tile_f32", include_str!("kernels/matmul/tile_f32.wgsl")),
    ("tile_f16", include_str!("kernels/matmul/tile_f16.wgsl")),
    ("tile_integers", include_str!("kernels/matmul/tile_integers.wgsl")),
    ("products_f32", include_str!("kernels/matmul/products_f32.wgsl")),
    ("products_f16", include_str!("kernels/matmul/products_f16.wgsl")),
    ("products_integers", include_str!("kernels/matmul/products_integers.wgsl")),
    ("matvec", include_str!("kernels/matvec.wgsl")),
    ("merge", include_str!("kernels/merge.wgsl")),
    ("norm", include_str!("kernels/norm.wgsl")),
    ("order", include_str!("kernels/order.wgsl")),
    ("sampler", include_str!("kernels/sampler.wgsl")),
    ("sample", include_str!("kernels/sample.wgsl")),
    ("select", include_str!("kernels/select.wgsl")),
    ("shares", include_str!("kernels/shares.wgsl")),
    ("state", include_str!("kernels/state.wgsl")),
    ("swiglu", include_str!("kernels/swiglu.wgsl")),
    ("window", include_str!("kernels/window.wgsl")),
    ("probe", include_str!("probe.wgsl")),
    ("quant", include_str!("kernels/quant/quant.wgsl")),
    ("f32", include_str!("kernels/quant/f32.wgsl")),
    ("f16", include_str!("kernels/quant/f16.wgsl")),
    ("bf16", include_str!("kernels/quant/bf16.wgsl")),
    ("nibbles", include_str!("kernels/quant/nibbles.wgsl")),
    ("bytes", include_str!("kernels/quant/bytes.wgsl")),
    ("six_bits", include_str!("kernels/quant/six_bits.wgsl")),
    ("scale_none", include_str!("kernels/quant/scale_none.wgsl")),
    ("scale_block", include_str!("kernels/quant/scale_block.wgsl")),
    ("scale_min", include_str!("kernels/quant/scale_min.wgsl")),
    ("scale_super", include_str!("kernels/quant/scale_super.wgsl")),
    ("scale_halves", include_str!("kernels/quant/scale_halves.wgsl")),
];

/// The constants of one variant of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Defines(BTreeMap<String, String>);

impl Defines {
    /// No constants yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a constant; `true` and `false` are written as 1 and 0 by [`Defines::flag`].
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds a constant for `#if`.
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.set(name, u8::from(value))
    }

    /// Adds a constant unless it is there.
    pub fn or(mut self, name: &str, value: impl Display) -> Self {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_string());
        self
    }

    fn get(&self, name: &str) -> Result<&str> {
        let missing = || Error::internal(format!("the shader constant {name} is not defined"));
        self.0.get(name).map(String::as_str).ok_or_else(missing)
    }
}

/// The named file of [`SOURCES`] with every directive carried out.
pub fn expand(name: &str, defines: &Defines) -> Result<String> {
    let mut out = String::new();
    include(name, defines, &mut out)?;
    Ok(out)
}

fn include(name: &str, defines: &Defines, out: &mut String) -> Result<()> {
    let unknown = || Error::internal(format!("there is no shader file {name}"));
    let (_, text) = SOURCES.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    lines(&text.lines().collect::<Vec<_>>(), defines, out)
}

fn lines(text: &[&str], defines: &Defines, out: &mut String) -> Result<()> {
    let mut at = 0;
    while let Some(line) = text.get(at) {
        let directive = line.trim_start();
        if let Some(name) = directive.strip_prefix("#include ") {
            include(&substitute(name.trim(), defines)?, defines, out)?;
        } else if let Some(condition) = directive.strip_prefix("#if ") {
            let (otherwise, end) = block(text, at)?;
            if holds(condition, defines)? {
                lines(&text[at + 1..otherwise.unwrap_or(end)], defines, out)?;
            } else if let Some(otherwise) = otherwise {
                lines(&text[otherwise + 1..end], defines, out)?;
            }
            at = end;
        } else if let Some(range) = directive.strip_prefix("#for ") {
            let (_, end) = block(text, at)?;
            let (name, first, last) = parse_range(&substitute(range, defines)?)?;
            for i in first..last {
                lines(&text[at + 1..end], &defines.clone().set(&name, i), out)?;
            }
            at = end;
        } else {
            out.push_str(&substitute(line, defines)?);
            out.push('\n');
        }
        at += 1;
    }
    Ok(())
}

/// The lines of the `#else` (if any) and of the end of the block that starts at line `start`.
fn block(text: &[&str], start: usize) -> Result<(Option<usize>, usize)> {
    let (mut depth, mut otherwise) = (0, None);
    for (at, line) in text.iter().enumerate().skip(start) {
        let word = line.split_whitespace().next().unwrap_or("");
        match word {
            "#if" | "#for" => depth += 1,
            "#else" if depth == 1 => otherwise = Some(at),
            "#endif" | "#end" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok((otherwise, at));
        }
    }
    Err(Error::internal(format!("the shader block \"{}\" has no end", text[start].trim())))
}

fn holds(condition: &str, defines: &Defines) -> Result<bool> {
    let words: Vec<&str> = condition.split_whitespace().collect();
    let number = |text: &str| text.parse::<i64>().map_err(|_| Error::internal(format!("{text} is not a number")));
    match words[..] {
        [name] => Ok(defines.get(name)? != "0"),
        [name, "==", value] => Ok(defines.get(name)? == value),
        [name, ">", value] => Ok(number(defines.get(name)?)? > number(value)?),
        _ => Err(Error::internal(format!("unknown shader condition \"{condition}\""))),
    }
}

fn parse_range(text: &str) -> Result<(String, u32, u32)> {
    let parse = || -> Option<(String, u32, u32)> {
        let (name, range) = text.split_once(" in ")?;
        let (first, last) = range.split_once("..")?;
        Some((name.trim().to_owned(), first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    parse().ok_or_else(|| Error::internal(format!("unknown shader range \"{text}\"")))
}

fn substitute(line: &str, defines: &Defines) -> Result<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.starts_with('{');
        if braced {
            rest = &rest[1..];
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        out.push_str(defines.get(&rest[..end])?);
        rest = &rest[end + usize::from(braced)..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, defines: &Defines) -> Result<String> {
        let mut out = String::new();
        lines(&text.lines().collect::<Vec<_>>(), defines, &mut out)?;
        Ok(out)
    }

    #[test]
    fn conditions_nest_and_choose() {
        let text = "#if A\na\n#if B == 2\nb\n#else\nc\n#endif\n#else\nd\n#endif";
        let with = |a: bool, b: u32| run(text, &Defines::new().flag("A", a).set("B", b)).unwrap();
        assert_eq!(with(true, 2), "a\nb\n");
        assert_eq!(with(true, 3), "a\nc\n");
        assert_eq!(with(false, 2), "d\n");
    }

    #[test]
    fn loops_unroll_with_their_variable() {
        let text = "#for i in 0..$N\n#for j in 1..3\nx${i}_$j = $i;\n#end\n#end";
        let out = run(text, &Defines::new().set("N", 2)).unwrap();
        assert_eq!(out, "x0_1 = 0;\nx0_2 = 0;\nx1_1 = 1;\nx1_2 = 1;\n");
    }

    #[test]
    fn comparison_is_numeric() {
        let text = "#if N > 1\nmany\n#endif";
        assert_eq!(run(text, &Defines::new().set("N", 32)).unwrap(), "many\n");
        assert_eq!(run(text, &Defines::new().set("N", 1)).unwrap(), "");
    }

    #[test]
    fn an_undefined_name_is_an_error_not_an_empty_string() {
        assert!(run("let k = $K;", &Defines::new()).unwrap_err().message.contains('K'));
        assert!(run("#if K\n#endif", &Defines::new()).is_err());
        assert!(run("#if K", &Defines::new().flag("K", true)).unwrap_err().message.contains("no end"));
    }
}
