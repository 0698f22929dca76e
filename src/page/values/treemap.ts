/** A rectangle in percent of the whole. */
export interface Rectangle {
  left: number
  top: number
  width: number
  height: number
}

/**
 * Divides a rectangle among weights in proportion, halving the sum along the longer side each time.
 * @param aspect the width of the whole divided by its height
 */
export function treemap(weights: readonly number[], aspect: number): Rectangle[] {
  return divide(weights, { left: 0, top: 0, width: 100, height: 100 }, aspect)
}

function divide(weights: readonly number[], area: Rectangle, aspect: number): Rectangle[] {
  if (weights.length <= 1) return weights.map(() => area)
  const total = sum(weights)
  const middle = middleOf(weights, total)
  const share = total === 0 ? 0.5 : sum(weights.slice(0, middle)) / total
  const { left, top, width, height } = area
  const isWide = width * aspect >= height
  const first = isWide ? { ...area, width: width * share } : { ...area, height: height * share }
  const second = isWide
    ? { ...area, left: left + width * share, width: width * (1 - share) }
    : { ...area, top: top + height * share, height: height * (1 - share) }
  return [
    ...divide(weights.slice(0, middle), first, aspect),
    ...divide(weights.slice(middle), second, aspect),
  ]
}

/** Returns where the first half of the total ends; neither side is empty. */
function middleOf(weights: readonly number[], total: number): number {
  let seen = 0
  const index = weights.findIndex((weight) => {
    seen += weight
    return seen >= total / 2
  })
  return Math.min(Math.max(index, 1), weights.length - 1)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
