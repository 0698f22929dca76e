import type { Condition } from '../../domain/condition.ts'

/**
 * The condition of a change, by `If-Match` and `If-None-Match`.
 *
 * @param takesWeak whether `If-Match` takes weak entity tags, too, against RFC 9110, 13.1.1: where tags are digests,
 *   weak ones are as good
 */
export function conditionOf({ headers }: Request, takesWeak = false): Condition | undefined {
  const [ifMatch, ifNoneMatch] = [headers.get('if-match'), headers.get('if-none-match')]
  if (ifMatch === null && ifNoneMatch === null) return undefined
  return { ifMatch: parseTags(ifMatch, takesWeak), ifNoneMatch: parseTags(ifNoneMatch, true) }
}

/** Whether `If-None-Match` names what the client has already, so that the answer is 304 (RFC 9110, 13.1.2). */
export function isKnown({ headers }: Request, tag: string): boolean {
  const known = parseTags(headers.get('if-none-match'), true)
  return known !== undefined && (known.includes('*') || known.includes(tag))
}

/** The entity tags of a list, without their quotes. */
function parseTags(header: string | null, takesWeak: boolean): string[] | undefined {
  return header?.split(',').flatMap((entry) => {
    const [, weak, quoted, bare] = /^\s*(W\/)?(?:"([^"]*)"|(\S*))\s*$/.exec(entry) ?? []
    return weak !== undefined && !takesWeak ? [] : [quoted ?? bare ?? '']
  })
}
