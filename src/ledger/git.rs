//! The ledger in a branch of the repository that declares the devices:
//! `ledger.json` in `apgit-ledger/<tenantId>/<ownerId>` of a remote.
//!
//! Who writes it, writes on top of the very commit that was read: the push names
//! it, and the other side compares (`--force-with-lease` with that commit). It
//! is never a forced one, since the new commit has that one as its parent: what
//! the lease lets pass is a fast-forward always. A plain fast-forward would not
//! do: it would also go on top of a branch that somebody has set back to an
//! earlier commit, and would make a branch again that somebody has deleted.
//!
//! What is checked out, staged and stashed is not touched: the commit is made in
//! an index of its own, in a folder that is gone afterwards. In the user's
//! repository stay the objects, and `refs/apgit/<remote>/<branch>` so that a
//! later load has to fetch only what is new.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::document::Ledger;
use super::store::{LedgerCommit, LedgerError, LedgerStore, Neighbour};
use crate::git::{Call, GitError, Repository};
use crate::model::{TenantId, seen};

/// The file in the branch.
const FILE: &str = "ledger.json";

/// So many commits are told of a device.
const COMMITS: usize = 50;

/// Who commits where Git knows nobody: a pipeline, mostly.
const NOBODY: (&str, &str) = ("apgit", "apgit@localhost");

/// A ledger in a branch.
#[derive(Debug)]
pub struct GitLedger {
    branch: Arc<Branch>,
    /// The commit that was loaded or saved last; `None` for no branch.
    known: Option<String>,
}

/// A branch of a remote.
#[derive(Debug)]
struct Branch {
    repository: Repository,
    remote: String,
    name: String,
    /// Of the remote, once it was asked for.
    address: OnceLock<String>,
    /// How commits are made here, once it was asked for.
    habits: OnceLock<Habits>,
}

/// How commits are made in a repository.
#[derive(Debug, Clone)]
struct Habits {
    signs: bool,
    /// Variables that say who, where Git does not know.
    who: Vec<(&'static str, &'static str)>,
}

impl GitLedger {
    /// The ledger in a branch of a remote. Nothing is read or made yet.
    #[must_use]
    pub fn new(repository: Repository, remote: &str, branch: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-%".contains(c);
        assert!(branch.chars().all(is_plain) && !branch.starts_with('-'), "a branch is named by us");
        let (address, habits) = (OnceLock::new(), OnceLock::new());
        let branch = Branch { repository, remote: remote.to_owned(), name: branch.to_owned(), address, habits };
        Self { branch: Arc::new(branch), known: None }
    }

    /// The branch for the ledger of a real tenant and an owner.
    #[must_use]
    pub fn branch(tenant: TenantId, owner: &str) -> String {
        // An owner may be named so as no branch may.
        let owner = owner.replace("..", "%2E%2E");
        let owner = owner.strip_suffix(".lock").map_or_else(|| owner.clone(), |rest| format!("{rest}%2Elock"));
        format!("apgit-ledger/{tenant}/{owner}")
    }

    /// Works where waiting for other processes keeps nobody else waiting.
    async fn on<T: Send + 'static>(&self, work: impl FnOnce(&Branch) -> T + Send + 'static) -> T {
        let branch = Arc::clone(&self.branch);
        let working = tokio::task::spawn_blocking(move || work(&branch));
        working.await.expect("what waits for Git neither panics nor is cancelled")
    }
}

#[async_trait]
impl LedgerStore for GitLedger {
    async fn load(&mut self) -> Result<Option<Ledger>, LedgerError> {
        let loaded = self.on(Branch::load).await?;
        self.known = loaded.as_ref().map(|(commit, _)| commit.clone());
        let Some((_, text)) = loaded else { return Ok(None) };
        let (text, ledger) = match text {
            Ok(text) => {
                let ledger = Ledger::read(&text, true);
                (text, ledger)
            }
            Err(reason) => (String::new(), Err(reason)),
        };
        ledger.map(Some).map_err(|reason| {
            let hint = "`apgit ledger import` puts one that you trust in its place";
            LedgerError::format(self.place(), format!("{reason}; {hint}"), &text)
        })
    }

    /// A save that fails has changed nothing, but for one case: where the answer
    /// to a push is lost and the remote cannot be asked either, the next load
    /// says whether it is there.
    async fn save(&mut self, ledger: &Ledger, why: &str) -> Result<(), LedgerError> {
        let (known, text, why) = (self.known.clone(), ledger.written(), seen(why).into_owned());
        let saved = self.on(move |branch| branch.save(known.as_deref(), &text, &why)).await?;
        self.known = Some(saved);
        Ok(())
    }

    async fn history(&self, serial: &str) -> Result<Vec<LedgerCommit>, LedgerError> {
        let (known, serial) = (self.known.clone(), serial.to_owned());
        let Some(known) = known else { return Ok(Vec::new()) };
        self.on(move |branch| branch.history(&known, &serial).map_err(branch.error("read"))).await
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, LedgerError> {
        self.on(Branch::neighbours).await
    }

    fn place(&self) -> String {
        self.branch.place()
    }
}

impl Branch {
    fn place(&self) -> String {
        format!("{}/{}", self.remote, self.name)
    }

    fn call(&self, name: &'static str) -> Call<'_> {
        self.repository.call(name)
    }

    fn error(&self, what: &'static str) -> impl Fn(GitError) -> LedgerError {
        let place = self.place();
        move |error| LedgerError::Store { what, place: place.clone(), reason: error.to_string() }
    }

    fn reference(&self) -> String {
        format!("refs/heads/{}", self.name)
    }

    fn address(&self) -> Result<&str, GitError> {
        if let Some(address) = self.address.get() {
            return Ok(address);
        }
        let address = self.repository.address(&self.remote)?;
        Ok(self.address.get_or_init(|| address))
    }

    /// The commit that the branch is at now, and its ledger or why there is none
    /// in it. `None` if there is no branch.
    #[expect(clippy::type_complexity, reason = "three answers, each of its own kind")]
    fn load(&self) -> Result<Option<(String, Result<String, String>)>, LedgerError> {
        let commit = self.fetched().map_err(self.error("read"))?;
        let Some(commit) = commit else { return Ok(None) };
        let text = self.text(&commit).map_err(self.error("read"))?;
        Ok(Some((commit, text)))
    }

    /// The ledgers in the branches beside this one.
    fn neighbours(&self) -> Result<Vec<Neighbour>, LedgerError> {
        let names = self.beside().map_err(self.error("read"))?;
        let read = |name: String| {
            let (address, habits) = (self.address.clone(), self.habits.clone());
            let branch =
                Self { repository: self.repository.clone(), remote: self.remote.clone(), name, address, habits };
            let loaded = branch.load().map_err(|error| error.to_string());
            let ledger = match loaded {
                // It was there a moment ago.
                Ok(None) => return None,
                Ok(Some((_, text))) => text.and_then(|text| Ledger::read(&text, false)),
                Err(reason) => Err(reason),
            };
            Some(Neighbour { place: branch.place(), ledger })
        };
        Ok(names.into_iter().filter_map(read).collect())
    }

    /// The names of the branches beside this one, by the remote's word.
    fn beside(&self) -> Result<Vec<String>, GitError> {
        let Some((folder, _)) = self.name.rsplit_once('/') else { return Ok(Vec::new()) };
        let pattern = format!("refs/heads/{folder}/*");
        let words = ["--quiet", "--", self.address()?, &pattern];
        let said = self.call("ls-remote").args(words).over_network().line()?;
        let names = said.lines().filter_map(|line| line.split_once('\t')).map(|(_, name)| name);
        let names = names.filter_map(|name| name.strip_prefix("refs/heads/"));
        let is_beside = |name: &&str| {
            let owner = name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-%".contains(c);
            owner.is_some_and(|owner| owner.chars().all(is_plain)) && *name != self.name
        };
        Ok(names.filter(is_beside).map(str::to_owned).collect())
    }

    /// What the branch is at now, by the remote's word.
    fn head(&self) -> Result<Option<String>, GitError> {
        let reference = self.reference();
        let words = ["--quiet", "--", self.address()?, &reference];
        let said = self.call("ls-remote").args(words).over_network().line()?;
        // Git also lists what only ends like that.
        let mut heads = said.lines().filter_map(|line| line.split_once('\t')).filter(|(_, name)| *name == reference);
        Ok(heads.next().map(|(commit, _)| commit.to_owned()))
    }

    /// The same, with the commit at hand.
    fn fetched(&self) -> Result<Option<String>, GitError> {
        // It may go on between the two questions, or be written anew.
        for _ in 0..3 {
            let Some(commit) = self.head()? else { return Ok(None) };
            if self.has(&commit)? || (self.fetch()? && self.has(&commit)?) {
                self.remember(&commit);
                return Ok(Some(commit));
            }
        }
        let reason = format!("`{}` is written anew again and again", self.name);
        Err(GitError { command: "fetch", reason })
    }

    fn has(&self, commit: &str) -> Result<bool, GitError> {
        let object = format!("{commit}^{{commit}}");
        Ok(self.call("cat-file").args(["-e", &object]).run()?.code == 0)
    }

    /// Fetches the branch, and nothing else that the remote or our configuration
    /// would have along with it. False if it is gone.
    fn fetch(&self) -> Result<bool, GitError> {
        const ALONE: [&str; 8] = [
            "--quiet",
            "--no-tags",
            "--no-prune",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--refmap=",
            "--",
        ];
        let words = [self.address()?, &self.reference()];
        let answer = self.call("fetch").args(ALONE).args(words).over_network().run()?;
        match answer.code {
            0 => Ok(true),
            _ if self.head()?.is_none() => Ok(false),
            _ => Err(answer.error()),
        }
    }

    /// Notes what we have, so that it is not fetched again. It may fail where
    /// another run notes the same, and then nothing is lost.
    fn remember(&self, commit: &str) {
        let reference = format!("refs/apgit/{}/{}", self.remote, self.name);
        let _ = self.call("update-ref").args(["--no-deref", &reference, commit]).run();
    }

    /// The ledger's text in a commit, or why there is none.
    fn text(&self, commit: &str) -> Result<Result<String, String>, GitError> {
        let listed = self.call("ls-tree").args(["-z", "--full-tree", commit, FILE]).line()?;
        // Mode, kind and name of the object, then the file's.
        let words: Vec<&str> = listed.split_whitespace().take(3).collect();
        match words[..] {
            [] => Ok(Err(format!("there is no `{FILE}` in it"))),
            ["100644" | "100755", "blob", object] => {
                let bytes = self.call("cat-file").args(["blob", object]).done()?;
                Ok(String::from_utf8(bytes).map_err(|_| format!("`{FILE}` is no text")))
            }
            _ => Ok(Err(format!("`{FILE}` is no file"))),
        }
    }

    /// The last commits in which a line with this serial changed.
    fn history(&self, known: &str, serial: &str) -> Result<Vec<LedgerCommit>, GitError> {
        // Every device has a line of its own. What is no letter may mean anything
        // in an expression.
        let pattern: String = serial.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '.' }).collect();
        let (most, pattern) = (format!("-{COMMITS}"), format!("-G\"{pattern}\""));
        let format = "--format=%H%x00%cI%x00%an%x00%s";
        let words = [&most, "--no-show-signature", "--regexp-ignore-case", format, &pattern, known, "--", FILE];
        let said = self.call("log").args(words).line()?;
        let commit = |line: &str| {
            let mut words = line.split('\0').map(str::to_owned);
            Some(LedgerCommit {
                commit: words.next()?,
                at: words.next()?,
                author: words.next()?,
                subject: words.next()?,
            })
        };
        Ok(said.lines().filter_map(commit).collect())
    }

    /// Puts a text on top of a commit, or at the beginning of a new branch: the
    /// new commit.
    fn save(&self, known: Option<&str>, text: &str, why: &str) -> Result<String, LedgerError> {
        let commit = self.commit(known, text, why).map_err(self.error("write"))?;
        if let Err(error) = self.push(known, &commit) {
            // Where the branch is now tells more than why Git says it failed: the
            // answer to a push that went well may be lost.
            match self.head() {
                Ok(now) if now.as_deref() == Some(&*commit) => {}
                Ok(now) if now.as_deref() != known => return Err(LedgerError::Moved { place: self.place() }),
                Ok(_) | Err(_) => return Err(self.error("write")(error)),
            }
        }
        self.remember(&commit);
        Ok(commit)
    }

    /// Makes a commit of a text, which nothing points at yet.
    fn commit(&self, parent: Option<&str>, text: &str, why: &str) -> Result<String, GitError> {
        let unwritten = |error: std::io::Error| GitError { command: "hash-object", reason: error.to_string() };
        // Nobody else can look into it.
        let folder = tempfile::tempdir().map_err(unwritten)?;
        let file = folder.path().join(FILE);
        std::fs::write(&file, text).map_err(unwritten)?;
        let blob = self.call("hash-object").args(["-w", "--no-filters", "--"]).args([&file]).line()?;
        let tree = self.tree(parent, &blob, &folder.path().join("index"))?;
        let habits = self.habits()?;
        let mut call = self.call("commit-tree");
        for (name, value) in &habits.who {
            call = call.env(name, value);
        }
        if habits.signs {
            call = call.args(["-S"]);
        }
        let parent = parent.map(|parent| ["-p", parent]);
        call.args(parent.into_iter().flatten()).args(["-m", why, &tree]).line()
    }

    /// The tree of a commit with another ledger in it: what else people keep in
    /// the branch stays.
    fn tree(&self, parent: Option<&str>, blob: &str, index: &Path) -> Result<String, GitError> {
        let with_index = |name| self.call(name).env("GIT_INDEX_FILE", index);
        if let Some(parent) = parent {
            with_index("read-tree").args([parent]).done()?;
        }
        let entry = format!("100644,{blob},{FILE}");
        with_index("update-index").args(["--add", "--replace", "--cacheinfo", &entry]).done()?;
        with_index("write-tree").line()
    }

    fn habits(&self) -> Result<&Habits, GitError> {
        if let Some(habits) = self.habits.get() {
            return Ok(habits);
        }
        // `commit-tree` signs only where it is told to.
        let words = ["--type=bool", "--default=false", "--get", "commit.gpgSign"];
        let signs = self.call("config").args(words).line()? == "true";
        let (name, address) = NOBODY;
        let mut who = Vec::new();
        let all = [
            ("GIT_AUTHOR_IDENT", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"),
            ("GIT_COMMITTER_IDENT", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
        ];
        for (ident, name_is, address_is) in all {
            if self.call("var").args([ident]).run()?.code != 0 {
                who.extend([(name_is, name), (address_is, address)]);
            }
        }
        Ok(self.habits.get_or_init(|| Habits { signs, who }))
    }

    /// Puts a commit in the place of the one that is its parent, if the branch is
    /// still there; or begins the branch, if there still is none.
    fn push(&self, known: Option<&str>, commit: &str) -> Result<(), GitError> {
        let reference = self.reference();
        let lease = format!("--force-with-lease={reference}:{}", known.unwrap_or_default());
        let words = ["--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", &lease, "--"];
        let refspec = format!("{commit}:{reference}");
        self.call("push").args(words).args([self.address()?, &refspec]).over_network().done()?;
        Ok(())
    }
}
