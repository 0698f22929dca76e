/** How deep referrers of referrers are followed. */
export const REFERRERS_DEPTH_MAX = 5

/** How many results of each kind a search has at most. */
export const RESULTS_MAX = 10

/** How many upload files are examined for their count and bytes. */
export const UPLOADS_COUNTED_MAX = 10_000
