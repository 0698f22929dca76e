/** The maximum length of the query of a link to the next page. */
const NEXT_QUERY_LENGTH_MAX = 2048

/**
 * Returns the query of the link to the next page (RFC 8288): some registries have cursors of their own. The rest of the
 * link is ignored, so an upstream cannot lead requests to other places.
 */
export function nextQueryOf(link: string): string | undefined {
  const query = /<[^<>?]*\?([^<>#]+)>\s*;[^<>]*\brel="?next"?/i.exec(link)?.[1]
  return query === undefined || query.length > NEXT_QUERY_LENGTH_MAX ? undefined : query
}
