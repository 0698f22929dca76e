import coerce from 'semver/functions/coerce'
import compare from 'semver/functions/compare'

/** A version, for comparisons. */
export type TagVersion = NonNullable<ReturnType<typeof coerce>>

/** Returns the version that a tag names, such as 1.2.3 for `v1.2.3` and 22.4.0 for `22.04`; undefined for other tags. */
export function versionOf(tag: string): TagVersion | undefined {
  if (!/^[vV]?\d/.test(tag)) return undefined
  return coerce(tag, { includePrerelease: true, loose: true }) ?? undefined
}

/** Returns a negative number if `a` comes before `b` (semver 2.0.0, 11), and 0 if neither does. */
export function compareVersions(a: TagVersion, b: TagVersion): number {
  return compare(a, b)
}
