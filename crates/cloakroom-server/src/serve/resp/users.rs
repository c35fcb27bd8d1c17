//! Who may do what, in the little that sessions need: users with a password, patterns of keys, and all
//! commands or only reads. The words are those of Redis' ACL files.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::glob;
use super::table::{ADMIN, Command, DANGEROUS, WRITE};

/// Everybody who may sign in.
#[derive(Debug)]
pub(crate) struct Users {
    known: RwLock<Vec<Arc<User>>>,
    file: Option<PathBuf>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) on: bool,
    /// SHA-256 of passwords that open; none of them is kept.
    passwords: Vec<[u8; 32]>,
    pub(crate) no_password: bool,
    /// Forms of keys; empty: none.
    patterns: Vec<Vec<u8>>,
    /// Forms of channels; empty: none.
    channels: Vec<Vec<u8>>,
    pub(crate) rights: Rights,
}

/// Which commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// `-@all`
    Nothing,
    /// `+@read`: reads, and what a connection needs.
    Reads,
    /// `+@all -@dangerous`: what sessions need.
    Safe,
    /// `+@all`
    All,
}

impl Users {
    /// The default user alone, with a password or without.
    pub(crate) fn new(password: Option<&str>) -> Self {
        Self {
            known: RwLock::new(vec![Arc::new(User::default(password))]),
            file: None,
        }
    }

    /// The default user, and those of a file beside it, one in a line: `user app on #HASH ~sess:* +@all`.
    pub(crate) fn of(password: Option<&str>, file: Option<&Path>) -> Result<Self, String> {
        let mut users = Self::new(password);
        users.file = file.map(Path::to_owned);
        users.read_again(password)?;
        Ok(users)
    }

    /// Reads the file again, if there is one; the default user has this password, unless a line of the file takes its
    /// place. Returns how many users there are. Those that are known stay where the file cannot be used; who is as
    /// before is the same user.
    pub(crate) fn read_again(&self, password: Option<&str>) -> Result<usize, String> {
        let mut users = vec![Arc::new(User::default(password))];
        for user in self.file.as_deref().map_or(Ok(Vec::new()), read)? {
            users.retain(|known| known.name != user.name);
            users.push(Arc::new(user));
        }
        let mut known = self.known.write();
        for user in &mut users {
            if let Some(same) = known.iter().find(|same| *same == user) {
                *user = Arc::clone(same);
            }
        }
        *known = users;
        Ok(known.len())
    }

    /// Whether this very user still is one: neither gone nor changed.
    pub(crate) fn has(&self, user: &Arc<User>) -> bool {
        let known = self.known.read();
        known.iter().any(|known| Arc::ptr_eq(known, user))
    }

    /// The user that a connection begins as, if no password is needed.
    pub(crate) fn initial(&self) -> Option<Arc<User>> {
        self.named(b"default")
            .filter(|user| user.on && user.no_password)
    }

    /// The user of this name and password.
    pub(crate) fn sign_in(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        let presented = sha256(password);
        let user = self.named(name);
        let fits = user.as_ref().is_some_and(|user| {
            let mut known = user.passwords.iter();
            user.no_password || known.any(|known| known.ct_eq(&presented).into())
        });
        user.filter(|user| fits && user.on)
    }

    pub(crate) fn named(&self, name: &[u8]) -> Option<Arc<User>> {
        let known = self.known.read();
        let user = known.iter().find(|user| user.name.as_bytes() == name);
        user.cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<User>> {
        self.known.read().clone()
    }
}

fn read(file: &Path) -> Result<Vec<User>, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("cannot read the users in {shown} ({error})"))?;
    let mode = std::fs::metadata(file)
        .map_err(|error| format!("cannot look at the users in {shown} ({error})"))?
        .permissions()
        .mode();
    if mode & 0o022 != 0 {
        return Err(format!(
            "others can change the users in {shown} (mode {:03o}); close it with `chmod 600 {shown}`, \
             and see who is in it",
            mode & 0o777
        ));
    }
    let lines = text.lines().map(str::trim).zip(1..);
    lines
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, number)| parse(line).map_err(|why| format!("line {number} of {shown}: {why}")))
        .collect()
}

impl User {
    /// The default user as the settings have it.
    fn default(password: Option<&str>) -> Self {
        Self {
            on: true,
            passwords: password
                .map(|it| sha256(it.as_bytes()))
                .into_iter()
                .collect(),
            no_password: password.is_none(),
            patterns: vec![b"*".to_vec()],
            channels: vec![b"*".to_vec()],
            rights: Rights::All,
            ..Self::nobody("default")
        }
    }

    fn nobody(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            on: false,
            passwords: Vec::new(),
            no_password: false,
            patterns: Vec::new(),
            channels: Vec::new(),
            rights: Rights::Nothing,
        }
    }

    /// Whether nothing is forbidden to it, which most need not be asked twice.
    pub(crate) fn may_everything(&self) -> bool {
        self.rights == Rights::All && self.may_all_keys() && self.may_all_channels()
    }

    pub(crate) fn may_run(&self, command: &Command) -> bool {
        match self.rights {
            Rights::All => true,
            Rights::Safe => !command.is(ADMIN) && !command.is(DANGEROUS),
            Rights::Reads => !command.is(WRITE) && !command.is(ADMIN) && !command.is(DANGEROUS),
            Rights::Nothing => false,
        }
    }

    pub(crate) fn may_all_keys(&self) -> bool {
        self.patterns.iter().any(|pattern| glob::takes_all(pattern))
    }

    pub(crate) fn may_key(&self, key: &[u8]) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| glob::matches(pattern, key))
    }

    /// Whether it may hear of all keys that begin so: a form that it may is a beginning of this.
    pub(crate) fn may_beginning(&self, beginning: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| {
            let fixed = pattern.strip_suffix(b"*");
            fixed.is_some_and(|fixed| {
                !fixed.iter().any(|byte| b"*?[\\".contains(byte)) && beginning.starts_with(fixed)
            })
        })
    }

    fn may_all_channels(&self) -> bool {
        self.channels.iter().any(|form| glob::takes_all(form))
    }

    /// Whether it may send to this channel and listen to it. To listen to all channels of a form, that
    /// very form must be allowed, as Redis has it: whether one is in another is not looked at.
    pub(crate) fn may_channel(&self, channel: &[u8], is_form: bool) -> bool {
        let mut allowed = self.channels.iter();
        match is_form {
            true => self.may_all_channels() || allowed.any(|form| form == channel),
            false => allowed.any(|form| glob::matches(form, channel)),
        }
    }

    /// The passwords' hashes, in hexadecimal.
    pub(crate) fn hashes(&self) -> Vec<String> {
        self.passwords.iter().map(hex).collect()
    }

    pub(crate) fn patterns(&self) -> String {
        listed('~', &self.patterns)
    }

    /// As a line of `ACL LIST` has them.
    fn channel_rules(&self) -> String {
        match self.may_all_channels() {
            true => self.channels(),
            false => format!("resetchannels {}", self.channels())
                .trim_end()
                .to_owned(),
        }
    }

    pub(crate) fn channels(&self) -> String {
        listed('&', &self.channels)
    }
}

fn listed(sign: char, forms: &[Vec<u8>]) -> String {
    let forms = forms.iter();
    let forms: Vec<String> = forms
        .map(|form| format!("{sign}{}", String::from_utf8_lossy(form)))
        .collect();
    forms.join(" ")
}

impl Rights {
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Nothing => "-@all",
            Self::Reads => "-@all +@read",
            Self::Safe => "+@all -@dangerous",
            Self::All => "+@all",
        }
    }
}

/// The line of `ACL LIST`.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "user {} {}",
            self.name,
            if self.on { "on" } else { "off" }
        )?;
        if self.no_password {
            f.write_str(" nopass")?;
        }
        for hash in self.hashes() {
            write!(f, " #{hash}")?;
        }
        for forms in [self.patterns(), self.channel_rules()] {
            if !forms.is_empty() {
                write!(f, " {forms}")?;
            }
        }
        write!(f, " {}", self.rights.rule())
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// One line: the words of Redis, as far as they mean something here.
fn parse(line: &str) -> Result<User, String> {
    let mut words = line.split_ascii_whitespace();
    let (Some("user"), Some(name)) = (words.next(), words.next()) else {
        return Err("write: user NAME on #SHA256 ~PATTERN +@all".to_owned());
    };
    let mut user = User::nobody(name);
    for word in words {
        match word {
            "on" => user.on = true,
            "off" => user.on = false,
            "nopass" => user.no_password = true,
            "allkeys" => user.patterns.push(b"*".to_vec()),
            "resetkeys" => user.patterns.clear(),
            "allchannels" => user.channels = vec![b"*".to_vec()],
            "resetchannels" => user.channels.clear(),
            "sanitize-payload" => {}
            "+@all" | "allcommands" => user.rights = Rights::All,
            "-@all" | "nocommands" => user.rights = Rights::Nothing,
            "-@dangerous" if user.rights == Rights::All => user.rights = Rights::Safe,
            "+@read" if user.rights == Rights::Nothing => user.rights = Rights::Reads,
            "-@write" if user.rights == Rights::All => user.rights = Rights::Reads,
            _ => match word.split_at_checked(1) {
                Some(("#", hash)) => {
                    let hash = unhex(hash).ok_or("a hash is SHA-256 in hexadecimal")?;
                    user.passwords.push(hash);
                }
                Some((">", password)) => user.passwords.push(sha256(password.as_bytes())),
                Some(("&", form)) => user.channels.push(form.as_bytes().to_vec()),
                Some(("~", pattern)) => user.patterns.push(pattern.as_bytes().to_vec()),
                _ => {
                    return Err(format!(
                        "{word} means nothing here; rights are +@all, +@all -@dangerous, +@read, -@all"
                    ));
                }
            },
        }
    }
    if !user.no_password && user.passwords.is_empty() {
        return Err(format!("{name} has no password: give #SHA256"));
    }
    Ok(user)
}

fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Rights, Users, parse};

    #[test]
    fn users_are_read_and_told_in_redis_words() {
        let user = parse("user app on >s3cret ~sess:* +@all -@dangerous").unwrap();
        assert_eq!(user.rights, Rights::Safe);
        assert!(user.may_key(b"sess:1") && !user.may_key(b"other"));
        let line = user.to_string();
        assert!(
            line.starts_with("user app on #") && !line.contains("s3cret"),
            "{line}"
        );
        assert_eq!(parse(&line).unwrap().to_string(), line);
        for wrong in [
            "user",
            "user a on",
            "user a on >x +get",
            "user a #12",
            "app on",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn channels_are_those_that_are_named() {
        let user = parse("user app on >x ~* &news:* &a +@all").unwrap();
        for (channel, is_form, may) in [
            ("news:1", false, true),
            ("a", false, true),
            ("b", false, false),
            ("news:*", true, true),
            // In what is allowed, but not that very form.
            ("news:1*", true, false),
            ("*", true, false),
        ] {
            let found = user.may_channel(channel.as_bytes(), is_form);
            assert_eq!(found, may, "{channel}");
        }
        assert!(!user.may_everything());
        let none = parse("user app on >x ~* &* resetchannels +@all").unwrap();
        assert!(!none.may_channel(b"a", false));
        assert!(
            none.to_string().ends_with("~* resetchannels +@all"),
            "{none}"
        );
        let all = parse("user app on >x ~* allchannels +@all").unwrap();
        assert!(all.may_everything() && all.to_string().ends_with("~* &* +@all"));
    }

    #[test]
    fn only_the_right_password_opens() {
        let users = Users::new(Some("s3cret"));
        assert!(users.initial().is_none());
        assert!(users.sign_in(b"default", b"s3cret").is_some());
        assert!(users.sign_in(b"default", b"s3cre").is_none());
        assert!(users.sign_in(b"root", b"s3cret").is_none());
        assert!(Users::new(None).initial().is_some());
    }
}
