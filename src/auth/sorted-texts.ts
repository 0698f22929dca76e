/** A sorted list of texts in byte order, with duplicates. */
export class SortedTexts {
  private readonly counts = new Map<string, number>()
  private sorted: string[] = []

  addAll(texts: readonly string[]): void {
    for (const text of texts) this.counts.set(text, (this.counts.get(text) ?? 0) + 1)
    this.sorted = Array.from(this.counts.keys()).sort()
  }

  add(text: string): void {
    const count = this.counts.get(text) ?? 0
    this.counts.set(text, count + 1)
    if (count === 0) this.sorted.splice(this.indexAfter(text), 0, text)
  }

  remove(text: string): void {
    const count = this.counts.get(text) ?? 0
    if (count > 1) this.counts.set(text, count - 1)
    else if (this.counts.delete(text)) this.sorted.splice(this.indexAfter(text) - 1, 1)
  }

  /** Returns the first text after the given one. */
  after(text: string): string | undefined {
    return this.sorted[this.indexAfter(text)]
  }

  /** Reports whether the list has the text, or a prefix of it that ends with `/` or at the end of a component. */
  hasStartOf(text: string): boolean {
    if (this.counts.size === 0) return false
    if (this.counts.has('') || this.counts.has(text)) return true
    for (let slash = text.indexOf('/'); slash >= 0; slash = text.indexOf('/', slash + 1)) {
      if (this.counts.has(text.slice(0, slash + 1))) return true
    }
    return false
  }

  /** Returns the index of the first text after the given one. */
  private indexAfter(text: string): number {
    let [low, high] = [0, this.sorted.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.sorted[middle] ?? '') <= text) low = middle + 1
      else high = middle
    }
    return low
  }
}
