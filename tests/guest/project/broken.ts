import { missing } from "./math"; const x: number = ; export default x
