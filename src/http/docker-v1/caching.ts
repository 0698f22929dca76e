import type { V1Request } from './exchange.ts'

/**
 * Returns the `Cache-Control` for content of a repository: shared caches may store it only if anyone may pull it.
 *
 * @param seconds how long a cache may use it without revalidation; 0 for what can change
 */
export async function cacheControl({ context, target }: V1Request, seconds: number): Promise<string> {
  const isPublic = context.access.may(await context.sessions.anonymous(), 'pull', target.repository)
  return `${isPublic ? 'public' : 'private'}, ${seconds === 0 ? 'no-cache' : `max-age=${seconds}`}`
}
