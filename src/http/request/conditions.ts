import type { Condition } from '../../domain/access/condition.ts'

/**
 * Returns the condition of a change, from `If-Match` and `If-None-Match`.
 *
 * @param takesWeak whether `If-Match` also accepts weak entity tags, against RFC 9110, 13.1.1. Where tags are digests, weak
 *   ones are as good.
 */
export function conditionOf({ headers }: Request, takesWeak = false): Condition | undefined {
  const [ifMatch, ifNoneMatch] = [headers.get('if-match'), headers.get('if-none-match')]
  if (ifMatch === null && ifNoneMatch === null) return undefined
  return { ifMatch: parseTags(ifMatch, takesWeak), ifNoneMatch: parseTags(ifNoneMatch, true) }
}

/** Reports whether the client already has what it asks for, by `If-None-Match`, so that it gets 304 (RFC 9110, 13.1.2). */
export function isKnown({ headers }: Request, tag: string): boolean {
  const known = parseTags(headers.get('if-none-match'), true)
  return known !== undefined && (known.includes('*') || known.includes(tag))
}

/** Parses a list of entity tags. Returns them without quotes. */
function parseTags(header: string | null, takesWeak: boolean): string[] | undefined {
  return header?.split(',').flatMap((entry) => {
    const [, weak, quoted, bare] = /^(W\/)?(?:"([^"]*)"|(\S*))$/.exec(entry.trim()) ?? []
    return weak !== undefined && !takesWeak ? [] : [quoted ?? bare ?? '']
  })
}
