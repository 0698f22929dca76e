import { type Digest, parseDigest, tryParseDigest } from './digest.ts'
import { registryError } from './error.ts'

declare const brand: unique symbol

/** A repository name, `<name>` in the distribution-spec. Only this module makes one. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** A tag as defined by the distribution-spec. Only this module makes one. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** The name of a manifest in a repository, `<reference>` in the distribution-spec. */
export type Reference = { digest: Digest; tag?: undefined } | { tag: Tag; digest?: undefined }

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Clients limit the host and the name together to 255 characters (distribution-spec, "Pulling manifests"). */
export const REPOSITORY_NAME_CHARACTERS_MAX = 255

/** Parses a repository name. Throws NAME_INVALID. */
export function parseRepositoryName(text: string): RepositoryName {
  if (text.length === 0) throw registryError('NAME_INVALID', 'the repository name is empty')
  if (text.length > REPOSITORY_NAME_CHARACTERS_MAX) {
    throw registryError(
      'NAME_INVALID',
      `the repository name has ${text.length} characters; the maximum is ${REPOSITORY_NAME_CHARACTERS_MAX}`,
    )
  }
  for (const component of text.split('/')) {
    if (!COMPONENT.test(component)) {
      throw registryError(
        'NAME_INVALID',
        `invalid repository name ${JSON.stringify(text)}: ${JSON.stringify(component)} must be lowercase letters and ` +
          'digits, separated by ".", "_", "__" or "-"',
      )
    }
  }
  return text as RepositoryName
}

/** Like parseRepositoryName, but returns undefined instead of throwing. */
export function tryParseRepositoryName(text: string): RepositoryName | undefined {
  try {
    return parseRepositoryName(text)
  } catch {
    return undefined
  }
}

/** Parses a tag. Throws MANIFEST_INVALID, because the specification has no code for tags. */
export function parseTag(text: string): Tag {
  const tag = tryParseTag(text)
  if (tag !== undefined) return tag
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}...` : text)
  throw registryError(
    'MANIFEST_INVALID',
    `invalid tag ${shown}: use at most 128 letters, digits, "_", "." and "-", and do not begin with "." or "-"`,
  )
}

/** Like parseTag, but returns undefined instead of throwing. */
export function tryParseTag(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined
}

/** Parses a tag or a digest. Text with a colon must be a digest. Throws DIGEST_INVALID or MANIFEST_INVALID. */
export function parseReference(text: string): Reference {
  const digest = tryParseDigest(text)
  if (digest !== undefined) return { digest }
  if (text.includes(':')) return { digest: parseDigest(text) }
  return { tag: parseTag(text) }
}

/** Formats a reference as clients write it. */
export function formatReference(reference: Reference): string {
  return reference.digest ?? reference.tag
}

/** Returns the tag under which clients without the referrers API keep a subject's list of referrers. */
export function referrersTag(subject: Digest): Tag {
  const [algorithm = '', encoded = ''] = subject.split(':')
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}` as Tag
}

/** Reports whether a tag has the form of `companionTags`, so that it serves another manifest and not people. */
export function isCompanionTag(tag: string): boolean {
  return /^[a-z0-9+._]{1,32}-[0-9a-f]{64}(\.sig|\.att|\.sbom)?$/.test(tag)
}

/** Returns the tags that belong to a manifest by name: the referrers tag and the tags that cosign uses. */
export function companionTags(subject: Digest): Tag[] {
  return ['', '.sig', '.att', '.sbom'].map((suffix) => `${referrersTag(subject)}${suffix}` as Tag)
}
