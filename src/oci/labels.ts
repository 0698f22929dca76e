import { objectOf, parseLeniently, textsOf } from './lenient-json.ts'

/** Labels of an image's config or annotations of a manifest, by name. */
export type Labels = Readonly<Record<string, string>>

/** The label that sets how long after its push a tag expires. */
export const EXPIRES_AFTER = 'quay.expires-after'

const SECONDS: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
}

/** A tag with a longer lifetime never expires. */
const EXPIRES_AFTER_SECONDS_MAX = 100 * 365 * 86_400

/**
 * Returns after how many seconds a tag expires, from its manifest's label: a whole number with s, m, h, d, w or y.
 * Returns undefined when the label is missing or invalid.
 */
export function expiresAfterSeconds(labels: Labels): number | undefined {
  const [, count = '', unit = ''] = /^(\d{1,12})([smhdwy])$/.exec(labels[EXPIRES_AFTER] ?? '') ?? []
  const seconds = Number(count) * (SECONDS[unit] ?? 0)
  return seconds > 0 && seconds <= EXPIRES_AFTER_SECONDS_MAX ? seconds : undefined
}

/** Returns the labels in an image's config (image-spec, "Image Configuration"), or none when it is malformed. */
export function labelsOfConfig(bytes: Uint8Array): Labels {
  // Most configs have no labels and need not be parsed.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('"Labels"')) return {}
  return textsOf(objectOf(parseLeniently(bytes).config).Labels)
}

/** Returns the labels that all have with the same value. */
export function commonLabels(all: readonly Labels[]): Labels {
  const [first = {}, ...others] = all
  const shared = Object.entries(first).filter(([name, value]) =>
    others.every((labels) => Object.hasOwn(labels, name) && labels[name] === value),
  )
  return Object.fromEntries(shared)
}
