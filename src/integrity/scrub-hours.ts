const DAY_HOURS = 24

/** The hours of each day in which stored content is verified. */
export interface ScrubHours {
  /** How many there are. */
  count: number
  /** Reports whether a time, in milliseconds since 1970, is in them, in local time. */
  include(at: number): boolean
}

/** Parses `1-5`, from one o'clock until five, or `22-6`, over midnight. `0-24` and any other full circle is the whole day. */
export function parseScrubHours(text: string): ScrubHours {
  const [from = 0, to = DAY_HOURS] = text.split('-').map(Number)
  const count = (to - from + DAY_HOURS) % DAY_HOURS || DAY_HOURS
  return {
    count,
    include: (at) => (new Date(at).getHours() - from + DAY_HOURS) % DAY_HOURS < count,
  }
}
