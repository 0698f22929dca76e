import type { RefObject } from 'preact'
import { useEffect, useState } from 'preact/hooks'

/** The height of a row, as in the styles. */
const ROW_PIXELS = 45
const NARROW_ROW_PIXELS = 61

/** How many rows outside the screen are kept. */
const ROWS_AROUND = 12

/** How many rows are drawn before it is known where the table is on the screen. */
const ROWS_AT_FIRST = 20

/** Returns which rows of a long table are near the screen: from `first` up to `end`. */
export function useRowWindow(body: RefObject<HTMLElement | null>, count: number) {
  const [range, setRange] = useState({ first: 0, end: ROWS_AT_FIRST, rowPixels: ROW_PIXELS })
  useEffect(() => {
    const narrow = matchMedia('(max-width: 760px)')
    const measure = () => {
      const rowPixels = narrow.matches ? NARROW_ROW_PIXELS : ROW_PIXELS
      const above = -(body.current?.getBoundingClientRect().top ?? 0)
      const top = Math.floor(above / rowPixels) - ROWS_AROUND
      const first = Math.max(0, Math.min(top, count - 1))
      const bottom = Math.ceil((above + innerHeight) / rowPixels)
      const end = Math.max(bottom + ROWS_AROUND, ROWS_AT_FIRST)
      setRange((before) =>
        before.first === first && before.end === end && before.rowPixels === rowPixels
          ? before
          : { first, end, rowPixels },
      )
    }
    measure()
    addEventListener('scroll', measure, { passive: true })
    addEventListener('resize', measure)
    return () => {
      removeEventListener('scroll', measure)
      removeEventListener('resize', measure)
    }
  }, [body, count])
  return { ...range, end: Math.min(range.end, count) }
}
