import { type Digest, findDigest, parseDigest } from './digest.ts'
import { registryError } from './error.ts'

declare const brand: unique symbol

/** A repository's name, `<name>` of the distribution-spec. Only this module makes one. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** A tag of the distribution-spec. Only this module makes one. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** What names a manifest in a repository: `<reference>` of the distribution-spec. */
export type Reference = { digest: Digest; tag?: undefined } | { tag: Tag; digest?: undefined }

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Clients cap host and name together at 255 characters (distribution-spec, "Pulling manifests"). */
export const REPOSITORY_NAME_CHARACTERS_MAX = 255

/** Parses a repository's name; throws NAME_INVALID. */
export function parseRepositoryName(text: string): RepositoryName {
  if (text.length === 0) throw registryError('NAME_INVALID', 'the repository name is empty')
  if (text.length > REPOSITORY_NAME_CHARACTERS_MAX) {
    throw registryError(
      'NAME_INVALID',
      `the repository name has ${text.length} characters; ${REPOSITORY_NAME_CHARACTERS_MAX} are allowed`,
    )
  }
  for (const component of text.split('/')) {
    if (!COMPONENT.test(component)) {
      throw registryError(
        'NAME_INVALID',
        `repository name ${JSON.stringify(text)}: component ${JSON.stringify(component)} is not lower-case ` +
          'letters and digits, separated by ".", "_", "__" or "-"',
      )
    }
  }
  return text as RepositoryName
}

/** Parses a tag; throws MANIFEST_INVALID, the code that the specification leaves for it. */
export function parseTag(text: string): Tag {
  const tag = findTag(text)
  if (tag !== undefined) return tag
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}...` : text)
  throw registryError(
    'MANIFEST_INVALID',
    `${shown} is not a tag: at most 128 letters, digits, "_", "." and "-", not beginning with "." or "-"`,
  )
}

/** Like parseTag, but answers undefined. */
export function findTag(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined
}

/** Parses a tag or a digest: what has a colon must be a digest. Throws DIGEST_INVALID or MANIFEST_INVALID. */
export function parseReference(text: string): Reference {
  const digest = findDigest(text)
  if (digest !== undefined) return { digest }
  if (text.includes(':')) return { digest: parseDigest(text) }
  return { tag: parseTag(text) }
}

/** The reference as the client writes it. */
export function formatReference(reference: Reference): string {
  return reference.digest ?? reference.tag
}

/** The tag under which clients without the referrers API keep a list of a subject's referrers. */
export function referrersTag(subject: Digest): Tag {
  const [algorithm = '', encoded = ''] = subject.split(':')
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}` as Tag
}

/** Whether a tag has the form of `companionTags`: it is there for another manifest, not for people. */
export function isCompanionTag(tag: string): boolean {
  return /^[a-z0-9+._]{1,32}-[0-9a-f]{64}(\.sig|\.att|\.sbom)?$/.test(tag)
}

/** The tags that belong to a manifest by their name: the referrers tag, and what cosign keeps beside it. */
export function companionTags(subject: Digest): Tag[] {
  return ['', '.sig', '.att', '.sbom'].map((suffix) => `${referrersTag(subject)}${suffix}` as Tag)
}
