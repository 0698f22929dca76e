import { ConfigError } from '../../config/config-error.ts'
import { isSchema1Type } from '../../docker/schema1.ts'
import {
  matchesPattern,
  parseRepositoryPattern,
  type RepositoryPattern,
} from '../../domain/repository-pattern.ts'
import { registryError } from '../../oci/error.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { isImageConfig, isIndex } from '../../oci/media-type.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** Throws DENIED if the repository does not accept manifests of this type. */
export type CheckAllowed = (repository: RepositoryName, manifest: Manifest) => void

/** Images, and indexes without an artifact type. */
const IMAGE = 'image'

const SETTING = 'artifacts.allow'

interface Rule {
  pattern: RepositoryPattern
  types: string[]
}

/**
 * Parses the setting. An entry is `PATTERN=TYPE`. Entries without `=` add types to the pattern before them. A type
 * is an artifact type, the media type of a config, a prefix of one followed by `*`, or `image`. A repository accepts
 * the types of all patterns that match it, and everything if none does.
 *
 * @throws Error that names the setting when it is malformed
 */
export function allowedTypes(setting: readonly string[]): CheckAllowed {
  const rules = parseRules(setting)
  return (repository, manifest) => {
    const own = rules.filter(({ pattern }) => matchesPattern(pattern, repository))
    if (own.length === 0) return
    const type = typeOf(manifest)
    const allowed = own.flatMap(({ types }) => types)
    if (allowed.some((one) => isLike(one, type))) return
    throw registryError('DENIED', `${repository} accepts only ${allowed.join(', ')}, not ${type}`, {
      detail: { name: repository, artifactType: type, allowed },
    })
  }
}

function parseRules(setting: readonly string[]): Rule[] {
  const rules: Rule[] = []
  for (const entry of setting.flatMap((text) => text.split(',')).map((text) => text.trim())) {
    const equals = entry.indexOf('=')
    if (equals >= 0) rules.push({ pattern: parsePattern(entry.slice(0, equals)), types: [] })
    const type = entry.slice(equals + 1)
    const rule = rules.at(-1)
    if (rule === undefined || type === '') {
      throw new ConfigError(`${SETTING} has the entry ${JSON.stringify(entry)}: expected PATTERN=TYPE`)
    }
    rule.types.push(type)
  }
  return rules
}

function parsePattern(text: string): RepositoryPattern {
  try {
    return parseRepositoryPattern(text)
  } catch (error) {
    throw new ConfigError(`${SETTING}: ${(error as Error).message}`)
  }
}

/** Returns the type that is checked: the artifact type, or the media type without one. */
function typeOf({ artifactType, mediaType }: Manifest): string {
  if (artifactType !== undefined) return isImageConfig(artifactType) ? IMAGE : artifactType
  return isIndex(mediaType) || isSchema1Type(mediaType) ? IMAGE : mediaType
}

function isLike(pattern: string, type: string): boolean {
  return pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern
}
