import type { Listing, Page } from '../../domain/registry.ts'
import { registryError } from '../../oci/error.ts'
import type { Exchange } from './exchange.ts'
import { warningOf } from './warning.ts'

/** end-8: lists the tags of a repository, in byte order. */
export async function listTags(exchange: Exchange<'tags'>): Promise<Response> {
  const { registry, repository, path } = exchange
  const page = pageOf(exchange)
  const listing = await registry.tags.list(repository, page)
  return Response.json(
    { name: path.name, tags: listing.items },
    { headers: headersOf(exchange, page, listing) },
  )
}

/** Docker's catalog: lists the repositories that the caller may pull from. */
export async function listRepositories(exchange: Exchange<'catalog'>): Promise<Response> {
  const page = pageOf(exchange)
  const listing = await exchange.registry.repositories.list(exchange.identity, page)
  return Response.json({ repositories: listing.items }, { headers: headersOf(exchange, page, listing) })
}

function pageOf({ query, limits }: Pick<Exchange, 'query' | 'limits'>): Page {
  const n = query.get('n')
  if (n !== null && !/^\d{1,9}$/.test(n)) {
    throw registryError('UNSUPPORTED', `invalid n ${JSON.stringify(n)}: not a number`, { status: 400 })
  }
  return {
    last: query.get('last') ?? '',
    limit: Math.min(n === null ? limits.pageMax : Number(n), limits.pageMax),
  }
}

/** Returns the link to the next page (RFC 8288), and a warning. */
function headersOf(
  { query, request }: Pick<Exchange, 'query' | 'request'>,
  page: Page,
  { items, more, next: last = items.at(-1), warning }: Listing<string>,
): Record<string, string> {
  const headers = warningOf(warning)
  if (!more || last === undefined) return headers
  const next = new URLSearchParams(query)
  next.set('n', String(page.limit))
  next.set('last', last)
  return { ...headers, link: `<${new URL(request.url).pathname}?${next}>; rel="next"` }
}
