export async function edge() {}
