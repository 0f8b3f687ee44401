//! The invented week: the same people, hosts and habits every time, until now.

use dezky_audit::Draft;
use dezky_audit_core::event::{Actor, Client, PartText, Resource};
use dezky_audit_core::ids::{ExternalId, PartnerSlug, Source, TenantSlug};
use dezky_audit_core::json::{Members, Value};
use dezky_audit_core::time::Timestamp;

const HOUR_MS: u64 = 3_600_000;
const WEEK_HOURS: u64 = 168;

/// Two tenants that there are none of: slug, mail domain, people, events an hour at the busiest.
const TENANTS: [(&str, &str, &[&str], u64); 2] = [
    ("nordwind", "nordwind.example", &["Mette Holm", "Jonas Lind", "Aylin Demir", "Peter Skov", "Ida Krogh", "Tomás Reis"], 34),
    ("kvist-co", "kvist.example", &["Sara Kvist", "Emil Brandt", "Nora Falk", "Luca Conti"], 20),
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/148.0.0.0 Safari/537.36",
];
const FILES: [&str; 8] = [
    "Budget 2027.ods",
    "Vertrag Nordhafen.pdf",
    "Minutes 14 November.md",
    "Årsregnskab.pdf",
    "Product photos.zip",
    "Onboarding.odt",
    "Payroll.ods",
    "Roadmap.odp",
];
/// Action, outcome, the kind of what it is done to, and how many of a hundred.
const HABITS: [(&str, &str, &str, u64); 13] = [
    ("authentik.login", "success", "session", 20),
    ("authentik.logout", "success", "session", 8),
    ("authentik.login_failed", "failure", "session", 5),
    ("authentik.password_changed", "success", "user", 1),
    ("authentik.application_authorized", "success", "application", 9),
    ("ocis.file_uploaded", "success", "file", 16),
    ("ocis.file_downloaded", "success", "file", 12),
    ("ocis.file_deleted", "success", "file", 4),
    ("ocis.share_created", "success", "share", 6),
    ("ocis.share_created", "denied", "share", 1),
    ("stalwart.delivery.completed", "success", "message", 12),
    ("stalwart.auth.success", "success", "mailbox", 4),
    ("stalwart.auth.failed", "failure", "mailbox", 2),
];

/// All drafts, oldest first.
pub(super) fn drafts(source: &Source, now: Timestamp) -> Vec<Draft> {
    let mut random = Random(7);
    let begin = now.unix_ms().saturating_sub(WEEK_HOURS * HOUR_MS);
    let mut drafts = Vec::new();
    for hour in 0..WEEK_HOURS {
        let start = begin + hour * HOUR_MS;
        for (tenant, (_, _, _, busiest)) in TENANTS.iter().enumerate() {
            let n = busiest * busyness(start) / 100 + random.below(3);
            for _ in 0..n {
                drafts.extend(everyday(&mut random, source, tenant, start));
            }
        }
    }
    drafts.extend(office(source, begin));
    drafts.extend(attack(source, now.unix_ms().saturating_sub(31 * HOUR_MS)));
    drafts.retain(|draft| draft.at.is_some_and(|at| at <= now));
    drafts.sort_by_key(|draft| draft.at.map(Timestamp::unix_ms));
    for (index, draft) in drafts.iter_mut().enumerate() {
        draft.external_id = ExternalId::new(format!("demo-{}-{index}", now.unix_ms())).ok();
    }
    drafts
}

/// Percent of the busiest hour: people work by day, and rest at the weekend.
fn busyness(at_ms: u64) -> u64 {
    let (hour, day) = (at_ms / HOUR_MS % 24, (at_ms / HOUR_MS / 24 + 4) % 7);
    let by_day = [4, 3, 3, 3, 4, 8, 25, 55, 90, 100, 95, 80, 60, 85, 95, 90, 70, 45, 28, 20, 18, 14, 10, 6]
        [usize::try_from(hour).unwrap_or(0)];
    if day == 0 || day == 6 { by_day / 5 } else { by_day }
}

fn everyday(random: &mut Random, source: &Source, tenant: usize, start: u64) -> Option<Draft> {
    let (slug, domain, people, _) = TENANTS[tenant];
    let mut left = random.below(100);
    let (action, outcome, kind, _) = HABITS.iter().find(|(.., share)| {
        let hit = left < *share;
        left = left.saturating_sub(*share);
        hit
    })?;
    let who = random.below(people.len() as u64);
    let person = people[usize::try_from(who).ok()?];
    let file = FILES[usize::try_from(random.below(FILES.len() as u64)).ok()?];
    let mut draft = draft(source, action, outcome, "user", start + random.below(HOUR_MS))?;
    draft.tenant = TenantSlug::new(slug).ok();
    draft.partner = PartnerSlug::new("fjord-it").ok();
    draft.actor = actor(person, domain, tenant as u64 * 100 + who);
    let agent = AGENTS[usize::try_from(who % 3).ok()?];
    draft.client =
        Some(Client { ip: format!("198.51.100.{}", 10 + tenant as u64 * 40 + who).parse().ok(), user_agent: text(agent) });
    let name = match *kind {
        "file" | "share" => file.to_owned(),
        "mailbox" => mail(person, domain),
        "message" => format!("{:08x}@{domain}", random.below(1 << 32)),
        "application" => "OCIS".to_owned(),
        _ => person.to_owned(),
    };
    draft.resource = Some(Resource { id: text(&format!("{kind}-{:06x}", random.below(1 << 24))), name: text(&name) });
    draft.resource_type = kind.parse().ok();
    let data = match *kind {
        "file" => vec![("size", Value::Number((random.below(9_000_000) + 1_000) as f64)), ("space", Value::from("Projects"))],
        "share" => vec![("role", Value::from("viewer")), ("with", Value::from("anyone with the link"))],
        "session" => vec![("method", Value::from(if random.below(4) == 0 { "password" } else { "webauthn" }))],
        _ => Vec::new(),
    };
    draft.metadata = Some(members(data));
    Some(draft)
}

/// In which hour, the action, the kind of record, its key, its tenant, and what was changed.
type Act = (u64, &'static str, &'static str, &'static str, &'static str, Vec<Value>);

/// What operators did in that week.
fn office(source: &Source, begin: u64) -> Vec<Draft> {
    let change = |field: &str, from: Option<Value>, to: Option<Value>| {
        let mut members = vec![("field".to_owned(), Value::from(field))];
        members.extend(from.map(|from| ("from".to_owned(), from)));
        members.extend(to.map(|to| ("to".to_owned(), to)));
        Value::Object(members)
    };
    let say = |text: &str| Some(Value::from(text));
    let domains = |list: &[&str]| Some(Value::Array(list.iter().map(|domain| Value::from(*domain)).collect()));
    let acts: Vec<Act> = vec![
        (
            3,
            "partner.created",
            "partner",
            "fjord-it",
            "",
            vec![change("name", None, say("Fjord IT")), change("state", None, say("active"))],
        ),
        (
            4,
            "tenant.created",
            "tenant",
            "nordwind",
            "nordwind",
            vec![change("name", None, say("Nordwind ApS")), change("partnerSlug", None, say("fjord-it"))],
        ),
        (
            5,
            "tenant.created",
            "tenant",
            "kvist-co",
            "kvist-co",
            vec![change("name", None, say("Kvist & Co")), change("partnerSlug", None, say("fjord-it"))],
        ),
        (30, "flag.created", "flag", "new-share-dialog", "", vec![change("state", None, say("off"))]),
        (
            52,
            "flag.updated",
            "flag",
            "new-share-dialog",
            "",
            vec![change("state", say("off"), say("rollout")), change("rollout", None, Some(Value::Number(10.0)))],
        ),
        (
            76,
            "tenant.updated",
            "tenant",
            "nordwind",
            "nordwind",
            vec![change("domains", domains(&["nordwind.example"]), domains(&["nordwind.example", "nordwind-shop.example"]))],
        ),
        (
            99,
            "flag.updated",
            "flag",
            "new-share-dialog",
            "",
            vec![change("rollout", Some(Value::Number(10.0)), Some(Value::Number(50.0)))],
        ),
        (122, "tenant.suspended", "tenant", "kvist-co", "kvist-co", vec![change("state", say("active"), say("suspended"))]),
        (124, "tenant.resumed", "tenant", "kvist-co", "kvist-co", vec![change("state", say("suspended"), say("active"))]),
        (
            146,
            "flag.killed",
            "flag",
            "new-share-dialog",
            "",
            vec![
                change("note", None, say("kill-switch")),
                change("rollout", Some(Value::Number(50.0)), None),
                change("state", say("rollout"), say("off")),
            ],
        ),
    ];
    acts.into_iter()
        .filter_map(|(hour, action, kind, key, tenant, changes)| {
            let mut draft = draft(source, action, "success", "operator", begin + hour * HOUR_MS + 17 * 60_000)?;
            draft.tenant = TenantSlug::new(tenant).ok();
            draft.actor = actor("Ole Winther", "dezky.example", 901);
            draft.client = Some(Client { ip: "203.0.113.7".parse().ok(), user_agent: text(AGENTS[0]) });
            draft.resource_type = kind.parse().ok();
            draft.resource = Some(Resource { id: text(key), name: None });
            draft.metadata = Some(vec![("changes".to_owned(), Value::Array(changes))]);
            Some(draft)
        })
        .collect()
}

/// Somebody tries passwords, gets in, and takes something: what one would look for.
fn attack(source: &Source, start: u64) -> Vec<Draft> {
    let client = || Some(Client { ip: "192.0.2.66".parse().ok(), user_agent: text("python-requests/2.32") });
    let mut drafts = Vec::new();
    let mut act = |at: u64, action: &str, outcome: &str, kind: &str, name: &str| {
        let Some(mut draft) = draft(source, action, outcome, "user", at) else { return };
        draft.tenant = TenantSlug::new("nordwind").ok();
        draft.partner = PartnerSlug::new("fjord-it").ok();
        draft.actor = actor("Jonas Lind", "nordwind.example", 1);
        draft.client = client();
        draft.resource_type = kind.parse().ok();
        draft.resource = Some(Resource { id: None, name: text(name) });
        drafts.push(draft);
    };
    for attempt in 0..60 {
        act(start + attempt * 4_000, "authentik.login_failed", "failure", "session", "Jonas Lind");
    }
    act(start + 250_000, "authentik.login", "success", "session", "Jonas Lind");
    act(start + 290_000, "ocis.file_downloaded", "success", "file", "Payroll.ods");
    act(start + 310_000, "ocis.share_created", "denied", "share", "Payroll.ods");
    act(start + 900_000, "authentik.password_changed", "success", "user", "Jonas Lind");
    drafts
}

fn draft(source: &Source, action: &str, outcome: &str, actor_type: &str, at: u64) -> Option<Draft> {
    let mut draft = Draft::new(action.parse().ok()?, outcome.parse().ok()?, source.clone(), actor_type.parse().ok()?);
    draft.at = Timestamp::from_unix_ms(at);
    Some(draft)
}

fn actor(name: &str, domain: &str, id: u64) -> Option<Actor> {
    Some(Actor {
        id: text(&format!("{:08x}-5c1f-4e7a-9d3b-{id:012x}", id * 7_919)),
        email: text(&mail(name, domain)),
        name: text(name),
    })
}

fn mail(name: &str, domain: &str) -> String {
    let local: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c
            } else if c == ' ' {
                '.'
            } else {
                'a'
            }
        })
        .collect();
    format!("{local}@{domain}")
}

fn text(text: &str) -> Option<PartText> {
    PartText::new(text).ok()
}

fn members(pairs: Vec<(&str, Value)>) -> Members {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// SplitMix64: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_of_a_few_thousand_events_ends_now() {
        let now = Timestamp::parse_rfc3339("2026-11-22T14:03:07Z").unwrap();
        let source = Source::new("demo").unwrap();
        let drafts = drafts(&source, now);
        assert!((2_000..6_000).contains(&drafts.len()), "{}", drafts.len());
        assert!(drafts.iter().all(|draft| draft.source == source && draft.at.unwrap() <= now && draft.external_id.is_some()));
        assert!(drafts.first().unwrap().at.unwrap().unix_ms() >= now.unix_ms() - WEEK_HOURS * HOUR_MS);
        let tenants: std::collections::BTreeSet<_> =
            drafts.iter().filter_map(|draft| draft.tenant.as_ref()).map(|slug| slug.as_str()).collect();
        assert_eq!(tenants.into_iter().collect::<Vec<_>>(), ["kvist-co", "nordwind"]);
    }
}
