import { objectOf, parseLeniently, textsOf } from './lenient-json.ts'

/** Labels of an image's config and annotations of a manifest, by name. */
export type Labels = Readonly<Record<string, string>>

/** The label that says how long a tag lasts, from the push that sets it. */
export const EXPIRES_AFTER = 'quay.expires-after'

const SECONDS: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
}

/** A tag that would last longer has no end. */
const EXPIRES_AFTER_SECONDS_MAX = 100 * 365 * 86_400

/**
 * After how many seconds a tag ends, as its manifest's label says: a whole number and s, m, h, d, w or y. Undefined
 * when there is none, or one that means nothing.
 */
export function expiresAfterSeconds(labels: Labels): number | undefined {
  const [, count = '', unit = ''] = /^(\d{1,12})([smhdwy])$/.exec(labels[EXPIRES_AFTER] ?? '') ?? []
  const seconds = Number(count) * (SECONDS[unit] ?? 0)
  return seconds > 0 && seconds <= EXPIRES_AFTER_SECONDS_MAX ? seconds : undefined
}

/** The labels in the config of an image (image-spec, "Image Configuration"); none when it is malformed. */
export function labelsOfConfig(bytes: Uint8Array): Labels {
  // Most configs have none: those are not parsed.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('"Labels"')) return {}
  return textsOf(objectOf(parseLeniently(bytes).config).Labels)
}

/** The labels that all have, with the same value. */
export function commonLabels(all: readonly Labels[]): Labels {
  const [first = {}, ...others] = all
  const shared = Object.entries(first).filter(([name, value]) =>
    others.every((labels) => Object.hasOwn(labels, name) && labels[name] === value),
  )
  return Object.fromEntries(shared)
}
