/** What may be remembered of the database, and a write may have made stale. */
export type Stale = 'content' | 'accounts' | 'signing-keys'
