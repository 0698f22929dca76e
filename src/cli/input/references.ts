import { CommandError, EXIT } from '../failure.ts'
import { type AdminClient, withQuery } from '../remote/admin-client.ts'

/** A tag or a digest of a repository, as the command line names it. */
export interface Named {
  repository: string
  reference: string
}

const DIGEST = /^sha(?:256|512):[0-9a-f]+$/

/** A shortened digest without its algorithm, as `docker images` prints ids. */
const HEX = /^[0-9a-f]{4,64}$/

/** The number of hex characters of a whole digest. */
const WHOLE = /^sha256:.{64}$|^sha512:.{128}$/

/**
 * Parses references as they are printed: `app:1.0` or `app@sha256:...`, or a repository followed by its tags or digests.
 * Throws a CommandError unless there are 1 to `max` of them.
 */
export function parseReferences(words: readonly string[], { max = 1 } = {}): [Named, ...Named[]] {
  const [first = '', ...others] = words
  const named = /[:@]/.test(first)
    ? words.map(parseReference)
    : others.map((reference) => ({ repository: first, reference }))
  const [one, ...more] = named
  if (one !== undefined && named.length <= max) return [one, ...more]
  const wanted = max === 1 ? 'REPOSITORY:TAG or REPOSITORY@DIGEST' : 'REPOSITORY:TAG...'
  throw new CommandError(`invalid reference "${words.join(' ')}": expected ${wanted}`, EXIT.usage)
}

/** Parses `app:1.0`, `app@sha256:...` or `app@0123ab...`. Of `app:1.0@sha256:...` the digest counts. */
export function parseReference(word: string): Named {
  const [, repository, tag, digest] = /^([^:@]+)(?::([^:@]+))?(?:@(.+))?$/.exec(word) ?? []
  const reference = digest === undefined ? tag : HEX.test(digest) ? `sha256:${digest}` : digest
  if (repository !== undefined && reference !== undefined) return { repository, reference }
  throw new CommandError(
    `invalid reference "${word}": expected REPOSITORY:TAG or REPOSITORY@DIGEST`,
    EXIT.usage,
  )
}

/** Reports whether the text is a digest, whole or shortened as in the output of commands. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text)
}

/** `app:1.0`, `app@sha256:...` */
export function formatReference({ repository, reference }: Named): string {
  return `${repository}${isDigest(reference) ? '@' : ':'}${reference}`
}

/**
 * Returns the whole digest that begins with the given text, and every other text as it is. Asks the server only for a
 * shortened digest.
 *
 * @param repository where to look; undefined for everywhere
 * @throws CommandError if no digest, or more than one, begins with it
 */
export async function wholeDigest(client: AdminClient, text: string, repository?: string): Promise<string> {
  if (!isDigest(text) || WHOLE.test(text)) return text
  const path = withQuery('/digests', { prefix: text, repository })
  const { items } = await client.request<{ items: string[] }>('GET', path)
  const [first, ...others] = items
  const where = repository === undefined ? '' : ` in ${repository}`
  if (first === undefined) throw new CommandError(`no digest${where} begins with ${text}`, EXIT.absent)
  if (others.length === 0) return first
  throw new CommandError(`several digests${where} begin with ${text}: ${items.join(', ')}`, EXIT.usage)
}

/** Does the same for the digest of a reference. */
export async function resolve(client: AdminClient, { repository, reference }: Named): Promise<Named> {
  return { repository, reference: await wholeDigest(client, reference, repository) }
}
