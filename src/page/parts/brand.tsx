/** The mark of cay: a crane on a quay. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 21h20M9 21v-5h6v5M17 21V11h6v10" />
      <path class="waves" d="M6 25c2 0 2-1 4-1s2 1 4 1 2-1 4-1 2 1 4 1 2-1 4-1" />
    </svg>
  )
}

/** Leads home. */
export function Brand() {
  return (
    <a class="brand" href="/">
      <Mark /> cay
    </a>
  )
}
