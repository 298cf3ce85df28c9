//! The settings of a git repository that run a program. Whoever writes such a setting runs a program as the user who
//! next uses git there.

/// The keys in `text`, a git `config`, whose value git runs as a program or that include another file of settings; in
/// their order, as `section.name` or `section.subsection.name`.
#[must_use]
pub fn keys_that_run(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut section = String::new();
    for line in logical_lines(text) {
        let mut rest = line.trim_start();
        // A key may follow the section on the same line.
        while let Some(inside) = rest.strip_prefix('[') {
            let (head, after) = section_end(inside);
            section = section_name(head);
            rest = after.trim_start();
        }
        if rest.is_empty() {
            continue;
        }
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        let key = format!("{section}.{}", name.trim().to_ascii_lowercase());
        if runs(&key, &plain(value)) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Whether git runs the value of this key, or reads more settings from it.
fn runs(key: &str, value: &str) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let (sub, name) = rest.rsplit_once('.').unwrap_or(("", rest));
    let is_switch =
        matches!(value.to_ascii_lowercase().as_str(), "" | "true" | "false" | "yes" | "no" | "on" | "off" | "0" | "1");
    match (section, name) {
        ("include" | "includeif", "path") => true,
        ("alias", _) | ("submodule", "update") => value.starts_with('!'),
        ("core", "fsmonitor") | ("pager", _) => !is_switch,
        ("remote" | "url", "url" | "pushurl" | "insteadof" | "pushinsteadof") => {
            value.starts_with("ext::") || sub.starts_with("ext::")
        }
        ("protocol", "allow") => sub.eq_ignore_ascii_case("ext") && value != "never",
        ("core", "alternaterefscommand" | "askpass" | "editor" | "gitproxy" | "hookspath" | "pager" | "sshcommand")
        | ("credential", "helper")
        | ("diff", "external" | "command" | "textconv")
        | ("difftool" | "mergetool" | "browser" | "man" | "guitool", "cmd" | "path")
        | ("filter", "clean" | "smudge" | "process")
        | ("gc", "recentobjectshook")
        | ("gpg", "program" | "defaultkeycommand")
        | ("hook" | "tar", "command")
        | ("init", "templatedir")
        | ("interactive", "difffilter")
        | ("lfs", "path")
        | ("merge", "driver")
        | ("remote", "receivepack" | "uploadpack" | "vcs")
        | ("sendemail", "smtpserver" | "sendmailcmd" | "tocmd" | "cccmd" | "headercmd")
        | ("sequence", "editor")
        | ("trailer", "cmd" | "command")
        | ("uploadpack", "packobjectshook")
        | ("web" | "help", "browser") => !value.is_empty(),
        _ => false,
    }
}

/// The lines of the file without comments, continued ones joined. A comment is not continued.
fn logical_lines(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (mut lines, mut line) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_comment) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                lines.push(std::mem::take(&mut line));
                (is_quoted, is_comment) = (false, false);
            }
            _ if is_comment => {}
            '#' | ';' if !is_quoted => is_comment = true,
            '\\' => {
                let next = chars.next().filter(|next| *next != '\n');
                line.extend(next.map(|next| ['\\', next]).into_iter().flatten());
            }
            _ => {
                is_quoted ^= c == '"';
                line.push(c);
            }
        }
    }
    lines.push(line);
    lines
}

/// The text of a section's head up to its `]`, which may be in quotes, and the rest of the line.
fn section_end(inside: &str) -> (&str, &str) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ']' if !is_quoted => return (&inside[..at], &inside[at + 1..]),
            _ => {}
        }
    }
    (inside, "")
}

/// `core`, or `filter.x` for `filter "x"`; the section is in lower case.
fn section_name(head: &str) -> String {
    match head.split_once(char::is_whitespace) {
        Some((section, sub)) => format!("{}.{}", section.trim().to_ascii_lowercase(), plain(sub)),
        None => head.trim().to_ascii_lowercase(),
    }
}

/// A value without quotes and escapes.
fn plain(value: &str) -> String {
    let mut plain = String::new();
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            '"' => {}
            _ => plain.push(c),
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_settings_run_nothing() {
        let text = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tfsmonitor = true\n\
                    [remote \"origin\"]\n\turl = https://example.org/x.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
                    [alias]\n\tst = status\n[pager]\n\tlog = false\n[submodule \"x\"]\n\tupdate = rebase\n\
                    [user]\n\tname = \"A; B\" # core.editor = vi\n";
        assert_eq!(keys_that_run(text), [""; 0]);
    }

    #[test]
    fn settings_that_run_a_program_are_found_however_they_are_written() {
        for (text, key) in [
            ("[core]\nfsmonitor = ./x", "core.fsmonitor"),
            ("\u{feff}[CORE] FsMonitor=./x", "core.fsmonitor"),
            ("[core]\r\n  hooksPath = hooks\r\n", "core.hookspath"),
            ("[core]\nsshCommand = \\\n  \"sh -c x\"", "core.sshcommand"),
            ("[core] # a comment\n[core] ; another\n[filter \"a]b\"] clean = x", "filter.a]b.clean"),
            ("[core]\n# a comment \\\nfsmonitor = x", "core.fsmonitor"),
            ("[core]\nbare = false ; a comment \\\nfsmonitor = x", "core.fsmonitor"),
            ("[filter.x]\nsmudge=x", "filter.x.smudge"),
            ("[diff \"x\"]\n\ttextconv = x", "diff.x.textconv"),
            ("[merge \"x\"]\ndriver = x %A", "merge.x.driver"),
            ("[alias]\nst = !x", "alias.st"),
            ("[alias]\nst = \"!x\"", "alias.st"),
            ("[include]\npath = ../more", "include.path"),
            ("[includeIf \"gitdir:~/\"]\npath = x", "includeif.gitdir:~/.path"),
            ("[submodule \"x\"]\nupdate = !x", "submodule.x.update"),
            ("[credential \"https://a.b\"]\nhelper = !x", "credential.https://a.b.helper"),
            ("[remote \"o\"]\nurl = ext::sh -c x", "remote.o.url"),
            ("[url \"ext::sh -c x\"]\ninsteadOf = https://a", "url.ext::sh -c x.insteadof"),
            ("[protocol \"ext\"]\nallow = always", "protocol.ext.allow"),
            ("[gpg \"ssh\"]\nprogram = x", "gpg.ssh.program"),
            ("[hook \"x\"]\ncommand = x", "hook.x.command"),
        ] {
            assert_eq!(keys_that_run(text), [key], "{text}");
        }
    }
}
