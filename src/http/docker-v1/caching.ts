import type { V1Request } from './exchange.ts'

/**
 * The `Cache-Control` of what belongs to a repository: for everybody's caches only where anybody may pull.
 *
 * @param seconds how long a cache may answer without asking; 0 for what changes
 */
export async function cacheControl({ context, target }: V1Request, seconds: number): Promise<string> {
  const isPublic = context.access.may(await context.sessions.anonymous(), 'pull', target.repository)
  return `${isPublic ? 'public' : 'private'}, ${seconds === 0 ? 'no-cache' : `max-age=${seconds}`}`
}
