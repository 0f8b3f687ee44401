//! The name that somebody probably meant.

/// The one of `known` that is nearest to `given`, if one is near enough to be what was meant: by optimal string alignment
/// (a letter left out, added, changed, or two swapped), upper and lower case alike.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(64).collect::<String>().to_lowercase();
    let near_enough = (given.chars().count() / 3).max(1);
    let distances = known.into_iter().map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name));
    distances.filter(|(distance, _)| *distance <= near_enough).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["tenantSlug", "actorEmail", "since", "q"];
        assert_eq!(nearest("tenantslug", known), Some("tenantSlug"));
        assert_eq!(nearest("tenant_slug", known), Some("tenantSlug"));
        assert_eq!(nearest("sicne", known), Some("since"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
