/** The licences, imported as a file: the path is on disk or inside the executable. */
declare module '*/LICENSE' {
  const path: string
  export default path
}
