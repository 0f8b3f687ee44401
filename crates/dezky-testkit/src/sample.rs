//! Events as a workspace platform sees them: some nine hundred bytes each, of many shapes, from a seed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dezky_audit_core::event::{Actor, Client, Draft, PartText, Resource, Salt};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;

/// 2026-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Actions with their source, the kind of resource, and the share of a hundred.
const ACTIONS: [(&str, &str, &str, u64); 14] = [
    ("authentik.login", "authentik", "session", 18),
    ("authentik.login_failed", "authentik", "user", 6),
    ("authentik.password_changed", "authentik", "user", 2),
    ("authentik.group_member_added", "authentik", "group", 3),
    ("ocis.file_uploaded", "ocis", "file", 20),
    ("ocis.file_moved", "ocis", "file", 6),
    ("ocis.share_created", "ocis", "share", 7),
    ("ocis.space_created", "ocis", "space", 1),
    ("stalwart.auth.success", "stalwart", "mailbox", 14),
    ("stalwart.auth.failed", "stalwart", "mailbox", 5),
    ("stalwart.delivery.completed", "stalwart", "message", 9),
    ("user.created", "platform-api", "user", 4),
    ("tenant.updated", "platform-api", "tenant", 3),
    ("flag.updated", "platform-api", "flag", 2),
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
    "dezky-sync/4.2 (ownCloud client)",
];
const WORDS: [&str; 12] = [
    "Årsregnskab",
    "invoice",
    "Protokoll",
    "Vertrag",
    "presentation",
    "notes",
    "Überblick",
    "budget",
    "facture",
    "kontrakt",
    "photo",
    "minutes",
];

/// Numbers from a seed: SplitMix64, repeatable on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A number below `bound`, small ones more often.
    pub fn skewed(&mut self, bound: u64) -> u64 {
        let highest = self.below(bound) + 1;
        self.below(highest)
    }

    pub fn salt(&mut self) -> Salt {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.number().to_le_bytes());
        bytes[8..].copy_from_slice(&self.number().to_le_bytes());
        Salt::new(bytes)
    }
}

/// A stream of sample drafts: 200 tenants of very different size, 5,000 users.
#[derive(Debug, Clone)]
pub struct Sampler {
    pub random: Random,
    made: u64,
}

impl Sampler {
    pub const fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), made: 0 }
    }

    /// The next draft; `at` rises by a tenth of a second on average, and lies up to two seconds back.
    pub fn draft(&mut self) -> Draft {
        let n = self.made;
        self.made += 1;
        let random = &mut self.random;
        let (action, source, kind, _) = pick(random.below(100));
        let failed = action.ends_with("failed");
        let outcome = if failed { "failure" } else { "success" };
        let actor_type = if source == "platform-api" { "operator" } else { "user" };
        let mut draft =
            Draft::new(action.parse().unwrap(), outcome.parse().unwrap(), source.parse().unwrap(), actor_type.parse().unwrap());
        draft.at = Timestamp::from_unix_ms(EPOCH_MS + 2_000 + n * 100 - random.below(2_000));
        draft.external_id = Some(format!("{source}-{n:08x}-{:012x}", random.below(1 << 48)).parse().unwrap());
        draft.resource_type = Some(kind.parse().unwrap());
        if random.below(20) > 0 {
            let tenant = random.skewed(200);
            draft.tenant = Some(format!("tenant-{tenant:03}").parse().unwrap());
            draft.partner = tenant.is_multiple_of(3).then(|| format!("partner-{}", tenant % 7).parse().unwrap());
        }
        let user = random.skewed(5_000);
        draft.actor = Some(Actor {
            id: Some(text(format!("{:08x}-5c1f-4e7a-9d3b-{user:012x}", user * 7_919))),
            email: Some(text(format!("user{user}@tenant-{:03}.example.eu", user % 200))),
            name: None,
        });
        let agent = AGENTS.get(usize::try_from(random.below(8)).unwrap()).map(|agent| text((*agent).to_owned()));
        draft.client = Some(Client { ip: Some(address(random)), user_agent: agent });
        let word = WORDS[usize::try_from(random.below(12)).unwrap()];
        let file = random.below(1 << 32);
        draft.resource = Some(Resource {
            id: Some(text(format!("{file:08x}-{:04x}", random.below(1 << 16)))),
            name: Some(text(format!("{word} {} {file:x}.pdf", 2_000 + random.below(27)))),
        });
        draft.metadata = Some(metadata(random, file));
        draft
    }
}

fn pick(share: u64) -> (&'static str, &'static str, &'static str, u64) {
    let mut rest = share;
    for action in ACTIONS {
        if rest < action.3 {
            return action;
        }
        rest -= action.3;
    }
    ACTIONS[0]
}

fn text(text: String) -> PartText {
    PartText::new(text).unwrap()
}

fn address(random: &mut Random) -> IpAddr {
    if random.below(5) == 0 {
        return Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(random.below(1 << 40))).into();
    }
    Ipv4Addr::from(u32::try_from(0x0A00_0000 + random.skewed(100_000)).unwrap()).into()
}

fn metadata(random: &mut Random, file: u64) -> Members {
    #[expect(clippy::cast_precision_loss, reason = "numbers of a sample")]
    let number = |value: u64| Value::Number(value as f64);
    let mut members: Members = vec![
        ("path".to_owned(), format!("/Shared/{}/{}", WORDS[usize::try_from(file % 12).unwrap()], file % 977).into()),
        ("durationMs".to_owned(), Value::Number(f64::from(u32::try_from(random.below(90_000)).unwrap()) / 8.0)),
        ("size".to_owned(), number(random.below(1 << 33))),
    ];
    if random.below(3) == 0 {
        let change = |from: u64, to: u64| Value::Object(vec![("from".to_owned(), number(from)), ("to".to_owned(), number(to))]);
        members.push((
            "changes".to_owned(),
            Value::Object(vec![("quota".to_owned(), change(random.below(100), random.below(100)))]),
        ));
        members.push(("tags".to_owned(), Value::Array(vec!["a \"quoted\" tag".into(), Value::Bool(true), Value::Null])));
    }
    members
}
