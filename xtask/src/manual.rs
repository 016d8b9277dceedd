//! `cargo xtask manual`: the manual, the man page and the shell completions, from the tables of `demotic_options` and the prose in `docs/manual.in.md`.
//!
//! The prose is a small part of Markdown: headings, paragraphs, fenced blocks, lists of two levels, `code` and *emphasis*. A line `{{NAME}}` is replaced by a list made of a
//! table. The result is `docs/manual.md`; the man page is made from the same lines. `cargo xtask tidy` checks that all of it is current.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use demotic_options::flags::{FLAGS, Scope};
use demotic_options::qemu::{MODELS, OPTIONS};
use demotic_options::verbs::{VERBS, VerbOption};
use demotic_testkit::root;

/// All generated files: path in the tree and contents.
pub fn files() -> Result<Vec<(PathBuf, String)>> {
    let prose = fs::read_to_string(root().join("docs/manual.in.md")).context("docs/manual.in.md")?;
    let text = expand(&prose);
    let notice = "<!-- Written by `cargo xtask manual` from manual.in.md and the tables in crates/options. -->\n\n";
    Ok(vec![
        ("docs/manual.md".into(), format!("{notice}{text}")),
        ("docs/demotic.1".into(), roff(&text)),
        ("docs/completions/demotic.bash".into(), bash()),
        ("docs/completions/_demotic".into(), zsh()),
        ("docs/completions/demotic.fish".into(), fish()),
    ])
}

/// Writes them.
pub fn write() -> Result<()> {
    for (path, text) in files()? {
        let path = root().join(path);
        fs::create_dir_all(path.parent().context("in the tree")?)?;
        fs::write(&path, text)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// What is not current.
pub fn faults() -> Result<Vec<String>> {
    let old = |path: &PathBuf| fs::read_to_string(root().join(path)).unwrap_or_default();
    let stale = files()?.into_iter().filter(|(path, text)| old(path) != *text);
    Ok(stale.map(|(path, _)| format!("{}: not current: cargo xtask manual", path.display())).collect())
}

// ---- lists

fn expand(prose: &str) -> String {
    let mut text = String::new();
    for line in prose.lines() {
        let list = match line.trim() {
            "{{options}}" => options(),
            "{{verbs}}" => verbs(),
            "{{variables}}" => variables(),
            "{{qemu}}" => qemu(),
            "{{models}}" => models(),
            _ => line.replace("{{configurable}}", &configurable()),
        };
        text.push_str(list.trim_end());
        text.push('\n');
    }
    text
}

fn with_value(name: &str, value: Option<&str>) -> String {
    value.map_or(name.to_owned(), |v| format!("{name} {v}"))
}

fn options() -> String {
    let line = |f: &demotic_options::flags::Flag| {
        let short = f.short.map_or(String::new(), |c| format!("`-{c}`, "));
        format!("- {short}`{}`: {}\n", with_value(&format!("--{}", f.long), f.value), f.what)
    };
    FLAGS.iter().map(line).collect()
}

fn variables() -> String {
    let line = |f: &demotic_options::flags::Flag| {
        Some(format!("- `{}`: as `{}`\n", f.variable()?, with_value(&format!("--{}", f.long), f.value)))
    };
    FLAGS.iter().filter_map(line).collect()
}

fn configurable() -> String {
    let names: Vec<String> =
        FLAGS.iter().filter(|f| f.scope != Scope::CommandLine).map(|f| format!("`{}`", f.long)).collect();
    names.join(", ")
}

fn verbs() -> String {
    let mut text = String::new();
    for verb in VERBS {
        text.push_str(&format!("- `{}`: {}\n", format!("{} {}", verb.words, verb.operands).trim(), verb.what));
        for option in verb.options {
            text.push_str(&format!(
                "  - `{}`: {}\n",
                with_value(&format!("--{}", option.long), option.value),
                option.what
            ));
        }
    }
    text
}

fn qemu() -> String {
    let line = |o: &demotic_options::qemu::Option| {
        let variable = if o.variable.is_empty() { String::new() } else { format!(", `{}`", o.variable) };
        format!("- `{}`{variable}: {}\n", with_value(&format!("-{}", o.name), o.value), o.what)
    };
    OPTIONS.iter().map(line).collect()
}

/// Grouped by what they stand for.
fn models() -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, model) in MODELS {
        match groups.iter_mut().find(|g| g.0 == *model) {
            Some(group) => group.1.push(name),
            None => groups.push((model, vec![name])),
        }
    }
    let line = |(model, names): &(&str, Vec<&str>)| {
        let names: Vec<String> = names.iter().map(|n| format!("{n}*")).collect();
        format!("- `{model}`: `{}`\n", names.join(" "))
    };
    groups.iter().map(line).collect()
}

// ---- man page

fn roff(text: &str) -> String {
    let mut out = String::from(
        ".\\\" Written by `cargo xtask manual` from docs/manual.in.md and the tables in crates/options.\n.TH DEMOTIC 1 \"\" \"Demotic\" \"User Commands\"\n",
    );
    let (mut level, mut fenced, mut paragraph) = (0, false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            out.push_str(if fenced { ".PP\n.RS 4\n.nf\n" } else { ".fi\n.RE\n" });
            continue;
        }
        if fenced {
            out.push_str(&format!("{}\n", protect(&escape(line))));
            continue;
        }
        let item = [("  - ", 2), ("- ", 1)].into_iter().find_map(|(mark, n)| Some((line.strip_prefix(mark)?, n)));
        let wanted = item.map_or(0, |i| i.1);
        if wanted > 0 || !line.trim().is_empty() {
            while level > wanted.max(1) {
                out.push_str(".RE\n");
                level -= 1;
            }
            if wanted > level && level > 0 {
                out.push_str(".RS\n");
            }
            level = wanted;
        }
        if let Some((rest, _)) = item {
            // What the item is about stands before the first colon outside of code.
            match split_item(rest) {
                Some((tag, body)) => {
                    out.push_str(&format!(".TP\n{}\n{}\n", protect(&inline(tag)), protect(&inline(body))))
                }
                None => out.push_str(&format!(".IP \\(bu 2\n{}\n", protect(&inline(rest)))),
            }
            paragraph = false;
        } else if let Some(title) = line.strip_prefix("## ") {
            out.push_str(&format!(".SH {}\n", escape(&title.to_uppercase())));
            paragraph = true;
        } else if line.starts_with("# ") || line.trim().is_empty() {
            paragraph = false;
        } else {
            if !paragraph {
                out.push_str(".PP\n");
            }
            paragraph = true;
            out.push_str(&format!("{}\n", protect(&inline(line))));
        }
    }
    out
}

fn split_item(text: &str) -> Option<(&str, &str)> {
    let mut code = false;
    for (i, c) in text.char_indices() {
        match c {
            '`' => code = !code,
            ':' if !code => return text.starts_with('`').then(|| (&text[..i], text[i + 1..].trim())),
            _ => {}
        }
    }
    None
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// A line must not begin like a request.
fn protect(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

fn inline(text: &str) -> String {
    let mut out = String::new();
    let (mut code, mut emphasis) = (false, false);
    for c in text.chars() {
        match c {
            '`' => {
                code = !code;
                out.push_str(if code { "\\fB" } else { "\\fR" });
            }
            '*' if !code => {
                emphasis = !emphasis;
                out.push_str(if emphasis { "\\fI" } else { "\\fR" });
            }
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

// ---- completions

/// The words that a value may be, if they are fixed.
fn choices(value: Option<&str>) -> Vec<&str> {
    let fixed = |w: &&str| w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    value.unwrap_or_default().split(['|', ',']).filter(fixed).filter(|w| !w.is_empty()).collect()
}

/// First words and what may follow each.
fn families() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for verb in VERBS {
        let (first, second) = verb.words.split_once(' ').unwrap_or((verb.words, ""));
        match all.iter_mut().find(|f| f.0 == first) {
            Some(family) => family.1.push(second),
            None => all.push((first, vec![second])),
        }
    }
    for family in &mut all {
        family.1.retain(|w| !w.is_empty());
    }
    all
}

const NOTICE: &str = "# Written by `cargo xtask manual` from the tables in crates/options.";

fn bash() -> String {
    let words = |list: Vec<String>| list.join(" ");
    let long = |options: &[VerbOption]| words(options.iter().map(|o| format!("--{}", o.long)).collect());
    let flags = words(
        FLAGS
            .iter()
            .flat_map(|f| f.short.map(|c| format!("-{c}")).into_iter().chain([format!("--{}", f.long)]))
            .collect(),
    );
    let firsts = words(families().iter().map(|f| f.0.to_owned()).collect());
    // Options of the same name have their words together.
    let mut merged: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in
        FLAGS.iter().map(|f| (f.long, f.value)).chain(VERBS.iter().flat_map(|v| v.options).map(|o| (o.long, o.value)))
    {
        for word in choices(value) {
            match merged.iter_mut().find(|m| m.0 == name) {
                Some(m) if m.1.contains(&word) => {}
                Some(m) => m.1.push(word),
                None => merged.push((name, vec![word])),
            }
        }
    }
    let value = |(name, list): &(&str, Vec<&str>)| {
        format!("        --{name}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n", list.join(" "))
    };
    let values: String = merged.iter().map(value).collect();
    let takes: Vec<String> = FLAGS.iter().filter(|f| f.value.is_some()).map(|f| format!("--{}", f.long)).collect();
    let takes = takes.join("|") + "|-E|-U|-L";
    let mut cases = String::new();
    for (first, seconds) in families() {
        if !seconds.is_empty() {
            cases.push_str(&format!(
                "        \"{first} \") COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")) ;;\n",
                seconds.join(" ")
            ));
        }
    }
    for verb in VERBS {
        let (first, second) = verb.words.split_once(' ').unwrap_or((verb.words, ""));
        if second.is_empty() && families().iter().any(|f| f.0 == first && !f.1.is_empty()) {
            continue;
        }
        let names = if matches!(verb.words, "shell" | "root path" | "root remove") { " $(_demotic_roots)" } else { "" };
        let tail = if verb.words == "root import" { "; COMPREPLY+=($(compgen -f -- \"$cur\"))" } else { "" };
        let key = if second.is_empty() { format!("\"{first} \"*") } else { format!("\"{first} {second}\"") };
        cases.push_str(&format!(
            "        {key}) COMPREPLY=($(compgen -W \"{}{names}\" -- \"$cur\")){tail} ;;\n",
            long(verb.options)
        ));
    }
    format!(
        r#"{NOTICE}
_demotic_roots() {{
    demotic root list 2> /dev/null | sed -n 's/^\([^ ]*\) .*\(i386\|amd64\) .*/\1/p'
}}
_demotic() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} i=1 first second=
    case $prev in
{values}    esac
    # The first word that is no option of Demotic's nor the value of one.
    while [ $i -lt $COMP_CWORD ]; do
        case ${{COMP_WORDS[i]}} in
        {takes}) i=$((i + 2)) ;;
        -*) i=$((i + 1)) ;;
        *) break ;;
        esac
    done
    if [ $i -ge $COMP_CWORD ]; then
        case $cur in
        -*) COMPREPLY=($(compgen -W "{flags}" -- "$cur")) ;;
        *) COMPREPLY=($(compgen -W "{firsts}" -c -- "$cur") $(compgen -f -- "$cur")) ;;
        esac
        return
    fi
    first=${{COMP_WORDS[i]}}
    if [ $((i + 1)) -lt $COMP_CWORD ]; then second=${{COMP_WORDS[i + 1]}}; fi
    case "$first $second" in
{cases}        *) COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}}
complete -F _demotic demotic demotic-manage
"#
    )
}

/// For use between single quotes in zsh's and fish's descriptions.
fn quoted(text: &str) -> String {
    text.replace('\'', "").replace('[', "(").replace(']', ")").replace(':', " -").replace('`', "")
}

fn zsh() -> String {
    let value = |v: Option<&str>| match (v, choices(v)) {
        (None, _) => String::new(),
        (Some(v), list) if list.is_empty() => format!(":{}:_files", quoted(v).to_lowercase()),
        (Some(v), list) => format!(":{}:({})", quoted(v).to_lowercase(), list.join(" ")),
    };
    let mut flags = String::new();
    for f in FLAGS {
        flags.push_str(&format!("        '*--{}[{}]{}' \\\n", f.long, quoted(f.what), value(f.value)));
    }
    let mut firsts = String::new();
    for (first, _) in families() {
        let what = VERBS.iter().find(|v| v.words.split(' ').next() == Some(first)).map_or("", |v| v.what);
        firsts.push_str(&format!("        '{first}:{}'\n", quoted(what)));
    }
    let mut cases = String::new();
    for (first, seconds) in families() {
        let of_verb = |verb: &demotic_options::verbs::Verb| {
            let mut text = String::from("_arguments");
            for o in verb.options {
                text.push_str(&format!(" '*--{}[{}]{}'", o.long, quoted(o.what), value(o.value)));
            }
            text + " '*:argument:_files'"
        };
        let find = |words: &str| VERBS.iter().find(|v| v.words == words).map_or(String::new(), of_verb);
        if seconds.is_empty() {
            cases.push_str(&format!("    {first}) {} ;;\n", find(first)));
            continue;
        }
        cases.push_str(&format!("    {first})\n        if (( CURRENT == 2 )); then compadd {}; return; fi\n        shift words; (( CURRENT-- ))\n        case $words[1] in\n", seconds.join(" ")));
        for second in seconds {
            cases.push_str(&format!("        {second}) {} ;;\n", find(&format!("{first} {second}"))));
        }
        cases.push_str("        esac ;;\n");
    }
    format!(
        r#"#compdef demotic demotic-manage
{NOTICE}
_demotic() {{
    local curcontext=$curcontext state line
    local -a verbs
    verbs=(
{firsts}    )
    _arguments -C \
{flags}        '1: :->first' '*:: :->rest' && return
    case $state in
    first) _describe verb verbs; _command_names -e; _files ;;
    rest) _demotic_rest ;;
    esac
}}
_demotic_rest() {{
    case $words[1] in
{cases}    *) _normal ;;
    esac
}}
_demotic "$@"
"#
    )
}

fn fish() -> String {
    let mut text = format!("{NOTICE}\n");
    let value = |v: Option<&str>| match (v, choices(v)) {
        (None, _) => String::new(),
        (Some(_), list) if list.is_empty() => " -r".to_owned(),
        (Some(_), list) => format!(" -x -a '{}'", list.join(" ")),
    };
    for f in FLAGS {
        let short = f.short.map_or(String::new(), |c| format!(" -s {c}"));
        text.push_str(&format!(
            "complete -c demotic -n __fish_use_subcommand{short} -l {}{} -d '{}'\n",
            f.long,
            value(f.value),
            quoted(f.what)
        ));
    }
    for (first, seconds) in families() {
        let what = VERBS.iter().find(|v| v.words.split(' ').next() == Some(first)).map_or("", |v| v.what);
        text.push_str(&format!("complete -c demotic -n __fish_use_subcommand -a {first} -d '{}'\n", quoted(what)));
        if !seconds.is_empty() {
            let known = format!(
                "__fish_seen_subcommand_from {first}; and not __fish_seen_subcommand_from {}",
                seconds.join(" ")
            );
            text.push_str(&format!("complete -c demotic -n '{known}' -f -a '{}'\n", seconds.join(" ")));
        }
    }
    for verb in VERBS {
        let words: Vec<&str> = verb.words.split(' ').collect();
        let seen: Vec<String> = words.iter().map(|w| format!("__fish_seen_subcommand_from {w}")).collect();
        for o in verb.options {
            text.push_str(&format!(
                "complete -c demotic -n '{}' -l {}{} -d '{}'\n",
                seen.join("; and "),
                o.long,
                value(o.value),
                quoted(o.what)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_becomes_roff() {
        let page = roff(
            "# x\n\n## Name\n\nx - `a` and *b*\n.dot\n\n- `--x`: y\n  - `-z A|b`: w\n- bullet\n\nend\n```\n.c -\\\n```\n",
        );
        let wanted = ".SH NAME\n.PP\nx \\- \\fBa\\fR and \\fIb\\fR\n\\&.dot\n.TP\n\\fB\\-\\-x\\fR\ny\n.RS\n.TP\n\\fB\\-z A|b\\fR\nw\n.RE\n.IP \\(bu 2\nbullet\n.PP\nend\n.PP\n.RS 4\n.nf\n\\&.c \\-\\e\n.fi\n.RE\n";
        assert_eq!(page.splitn(3, '\n').nth(2), Some(wanted));
    }

    #[test]
    fn every_word_is_in_every_text() {
        for (path, text) in files().expect("made") {
            // The shells complete Demotic's own options; those of qemu-user are another command's.
            let mut words: Vec<String> =
                VERBS.iter().flat_map(|v| v.options).map(|o| o.long.replace('-', "\\-")).collect();
            words.extend(FLAGS.iter().map(|f| f.long.replace('-', "\\-")));
            let text = if path.ends_with("demotic.1") { text } else { text.replace('-', "\\-") };
            for word in words {
                assert!(text.contains(&word), "{}: {word}", path.display());
            }
        }
    }
}
