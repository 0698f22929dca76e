import { decideCatalog } from '../../domain/access/decision.ts'
import type { V1Exchange } from './exchange.ts'

/** Maximum repositories in the results of a search, and in a page of it. */
const FOUND_MAX = 1000
const PAGE_MAX = 100
const PAGE_DEFAULT = 25

/** `docker search HOST/WORDS`: finds repositories that the caller may pull from, by name or description. */
export async function search({ context, query, identity, request }: V1Exchange<'search'>): Promise<Response> {
  const words = (query.get('q') ?? '').slice(0, 255).toLowerCase()
  const size = Math.min(PAGE_MAX, numberOf(query.get('n'), PAGE_DEFAULT))
  const page = numberOf(query.get('page'), 1)
  const anonymous = await context.sessions.anonymous()
  // A pull token is for one repository, so it must not reveal others.
  const principal = decideCatalog(context.access, identity) === 'out-of-scope' ? anonymous : identity
  const visible = context.access.pullable(principal)
  const found = await context.repositories.search(visible, words, FOUND_MAX)
  const { host } = new URL(context.originOf(request))
  const results = found.slice((page - 1) * size, page * size).map(({ name, description }) => ({
    name,
    description,
    is_public: context.access.may(anonymous, 'pull', name),
    is_official: false,
    is_automated: false,
    star_count: 0,
    href: `/v1/repositories/${name}/tags`,
  }))
  const answer = {
    query: words,
    num_results: found.length,
    num_pages: Math.ceil(found.length / size),
    page,
    page_size: size,
    results,
  }
  return new Response(JSON.stringify(answer), {
    headers: {
      'content-type': 'application/json',
      'x-docker-endpoints': host,
      'cache-control': 'private, no-cache',
      vary: 'Authorization, Cookie',
    },
  })
}

function numberOf(text: string | null, otherwise: number): number {
  return /^[1-9]\d{0,5}$/.test(text ?? '') ? Number(text) : otherwise
}
